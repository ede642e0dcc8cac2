//! How a cache keeps a head's keys and values: four types, each laid out for the order in which attention reads.
//!
//! Positions go in tiles of [`TILE`](super::TILE). Each type is exact: its numbers are floats, so that attention over a quantized
//! cache is, to the last bit, attention over the floats that the cache holds (an integer of eight bits times a scale of
//! eleven needs nineteen, and a float has twenty-four).
//!
//! | type | a tile's keys | a position's values |
//! |---|---|---|
//! | F32, F16 | `[head_dim][64]`: a column of the tile after the other | `[head_dim]` |
//! | Q8_0, Q4_0 | for each 32 of a head's numbers 64 blocks, *turned*: `[64]` scales, then `[32][64]` integers | blocks as in a file |
//!
//! A scale of a turned block belongs to one position, so it is one lane of a vector as everything of that position is.
//! Bits and scales are those of a file's blocks. A head that is no multiple of 32 long has a last block that is padded.

use blocks::{Block, F16, F32, Q4_0, Q8_0, TensorType};
use core::fmt;
use core::str::FromStr;

/// Numbers of a quantized block.
pub(super) const RUN: usize = 32;

/// How keys, or values, are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheType {
    /// As they were computed.
    F32,
    /// Rounded to halves.
    F16,
    /// 8.5 bits a number.
    Q8_0,
    /// 4.5 bits a number.
    Q4_0,
}

/// How a cache keeps its two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheTypes {
    /// Keys.
    pub k: CacheType,
    /// Values.
    pub v: CacheType,
}

impl CacheType {
    /// The most exact first.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Q8_0, Self::Q4_0];

    /// As a flag spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// The type of tensor that keeps numbers with the same bits.
    pub fn tensor_type(self) -> TensorType {
        match self {
            Self::F32 => TensorType::F32,
            Self::F16 => TensorType::F16,
            Self::Q8_0 => TensorType::Q8_0,
            Self::Q4_0 => TensorType::Q4_0,
        }
    }

    /// Whether a block of numbers shares a scale.
    pub fn is_quantized(self) -> bool {
        matches!(self, Self::Q8_0 | Self::Q4_0)
    }

    /// Numbers of a block, and its bytes. Attention asks at every tile.
    #[inline]
    fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (F32::LEN, size_of::<F32>()),
            Self::F16 => (F16::LEN, size_of::<F16>()),
            Self::Q8_0 => (Q8_0::LEN, size_of::<Q8_0>()),
            Self::Q4_0 => (Q4_0::LEN, size_of::<Q4_0>()),
        }
    }

    /// Numbers from one position's values to the next, once they are floats: a head, in whole blocks.
    #[inline]
    pub(super) fn row_len(self, head_dim: usize) -> usize {
        head_dim.next_multiple_of(self.block().0)
    }

    /// Bytes of a position in a head.
    #[inline]
    pub fn position_bytes(self, head_dim: usize) -> usize {
        let (len, n_bytes) = self.block();
        self.row_len(head_dim) / len * n_bytes
    }
}

impl CacheTypes {
    /// The same for keys and values.
    pub fn both(ty: CacheType) -> Self {
        Self { k: ty, v: ty }
    }
}

impl fmt::Display for CacheType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for CacheTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { k, v } = self;
        if k == v { write!(f, "{k}") } else { write!(f, "keys {k}, values {v}") }
    }
}

/// No type of a cache has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCacheType;

impl fmt::Display for UnknownCacheType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a cache is of type {}", CacheType::ALL.map(CacheType::name).join(", "))
    }
}

impl core::error::Error for UnknownCacheType {}

impl FromStr for CacheType {
    type Err = UnknownCacheType;

    fn from_str(name: &str) -> Result<Self, UnknownCacheType> {
        Self::ALL.into_iter().find(|ty| ty.name() == name).ok_or(UnknownCacheType)
    }
}

/// A block's scale, and its integers as −127…127 (−128 where the scale is too small to be exact). Numbers that are not finite make a scale that is none, so that the
/// result shows them.
#[inline(always)]
pub(super) fn to_q8_0(x: &[f32; RUN]) -> (F16, [i8; RUN]) {
    let d = F16::from_f32(largest(x) / 127.0);
    (d, round(x, d, 127.0).map(|q| q as i8))
}

/// Likewise as 0…15, which stand for −8…7: the number that lies farthest from zero is −8 scales.
#[inline(always)]
pub(super) fn to_q4_0(x: &[f32; RUN]) -> (F16, [u8; RUN]) {
    let amax = largest(x);
    // A NaN is no number of the block's, and then the sign does not matter.
    let sign = if x.contains(&amax) { -1.0 } else { 1.0 };
    let d = F16::from_f32(sign * amax / 8.0);
    (d, round(x, d, 7.0).map(|q| (q + 8.0) as u8))
}

/// The largest magnitude; a NaN is larger than all.
#[inline(always)]
fn largest(x: &[f32; RUN]) -> f32 {
    // Bit patterns of magnitudes are ordered as the numbers are, and NaNs lie above.
    f32::from_bits(x.iter().fold(0, |max, x| max.max(x.abs().to_bits())))
}

/// Numbers in units of a scale as it will be read, to nearest even, from `−max − 1` to `max`.
#[inline(always)]
fn round(x: &[f32; RUN], d: F16, max: f32) -> [f32; RUN] {
    /// 1.5 · 2²³: adding it to a number below 2²² leaves the number rounded in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let d = d.to_f32();
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    x.map(|x| {
        let x = x * inverse;
        let x = if x < -max - 1.0 { -max - 1.0 } else { x };
        let x = if x < max { x } else { max };
        (x + ROUND) - ROUND
    })
}
