//! Values of a head, a position after the other: see [`super::cache`].

use super::TILE;
use super::cache::{CacheType, RUN, to_q4_0, to_q8_0};
use super::keys::padded;
use crate::{Isa, halves};
use blocks::{Block, F16, F32, Q4_0, Q8_0};
use std::ops::Range;

/// Puts a position's value into its head.
#[inline(always)]
pub(super) fn store(isa: Isa, ty: CacheType, head: &mut [u8], position: usize, x: &[f32]) {
    let row_bytes = ty.position_bytes(x.len());
    let row = &mut head[position * row_bytes..][..row_bytes];
    match ty {
        CacheType::F32 => {
            for (number, &x) in bytemuck::cast_slice_mut::<u8, F32>(row).iter_mut().zip(x) {
                *number = F32::from_f32(x);
            }
        }
        CacheType::F16 => halves::from_f32(isa, x, bytemuck::cast_slice_mut(row)),
        CacheType::Q8_0 => {
            for (block, x) in bytemuck::cast_slice_mut::<u8, Q8_0>(row).iter_mut().zip(x.chunks(RUN)) {
                let (d, q) = to_q8_0(&padded(x));
                *block = Q8_0 { d, q };
            }
        }
        CacheType::Q4_0 => {
            for (block, x) in bytemuck::cast_slice_mut::<u8, Q4_0>(row).iter_mut().zip(x.chunks(RUN)) {
                let (d, q) = to_q4_0(&padded(x));
                *block = Q4_0 { d, q: std::array::from_fn(|i| q[i] | q[i + RUN / 2] << 4) };
            }
        }
    }
}

/// Values of some positions as floats, [`CacheType::row_len`] apart.
#[inline(always)]
pub(super) fn take(
    isa: Isa,
    ty: CacheType,
    head: &[u8],
    head_dim: usize,
    positions: Range<usize>,
    out: &mut [f32],
) {
    let row_bytes = ty.position_bytes(head_dim);
    let rows = &head[positions.start * row_bytes..positions.end * row_bytes];
    match ty {
        CacheType::F32 => {
            for (out, number) in out.iter_mut().zip(bytemuck::cast_slice::<u8, F32>(rows)) {
                *out = number.to_f32();
            }
        }
        CacheType::F16 => halves::to_f32(isa, bytemuck::cast_slice(rows), out),
        CacheType::Q8_0 => take_blocks::<Q8_0>(isa, rows, out),
        CacheType::Q4_0 => take_blocks::<Q4_0>(isa, rows, out),
    }
}

/// A block whose numbers are integers times a scale.
trait Scaled: Block {
    fn scale(&self) -> F16;

    fn integers(&self) -> [i8; RUN];
}

impl Scaled for Q8_0 {
    #[inline(always)]
    fn scale(&self) -> F16 {
        self.d
    }

    #[inline(always)]
    fn integers(&self) -> [i8; RUN] {
        self.q
    }
}

impl Scaled for Q4_0 {
    #[inline(always)]
    fn scale(&self) -> F16 {
        self.d
    }

    #[inline(always)]
    fn integers(&self) -> [i8; RUN] {
        let mut integers = [0; RUN];
        let (low, high) = integers.split_at_mut(RUN / 2);
        for i in 0..RUN / 2 {
            low[i] = (self.q[i] & 15) as i8 - 8;
            high[i] = (self.q[i] >> 4) as i8 - 8;
        }
        integers
    }
}

/// The scales of up to [`TILE`] blocks.
#[inline(always)]
fn scales<'a, B: Scaled>(isa: Isa, blocks: impl Iterator<Item = &'a B>) -> [f32; TILE] {
    let (mut halves, mut scales) = ([F16([0; 2]); TILE], [0.0; TILE]);
    for (half, block) in halves.iter_mut().zip(blocks) {
        *half = block.scale();
    }
    halves::to_f32(isa, &halves, &mut scales);
    scales
}

#[inline(always)]
fn take_blocks<B: Scaled>(isa: Isa, rows: &[u8], out: &mut [f32]) {
    let (blocks, out) = (bytemuck::cast_slice::<u8, B>(rows), out.as_chunks_mut::<RUN>().0);
    for (blocks, out) in blocks.chunks(TILE).zip(out.chunks_mut(TILE)) {
        for ((block, d), out) in blocks.iter().zip(scales(isa, blocks.iter())).zip(out) {
            *out = block.integers().map(|q| f32::from(q) * d);
        }
    }
}

/// What up to [`TILE`] positions' values, `rows`, add to one query's result by its weights, without being written down as floats; `before` is
/// called before each block of columns. Not for types without blocks.
#[inline(always)]
pub(super) fn add_weighted(
    isa: Isa,
    ty: CacheType,
    rows: &[u8],
    weights: &[f32],
    out: &mut [f32],
    before: impl FnMut(),
) {
    match ty {
        CacheType::F32 | CacheType::F16 => unreachable!("{ty} has no blocks"),
        CacheType::Q8_0 => add_blocks::<Q8_0>(isa, rows, weights, out, before),
        CacheType::Q4_0 => add_blocks::<Q4_0>(isa, rows, weights, out, before),
    }
}

#[inline(always)]
fn add_blocks<B: Scaled>(isa: Isa, rows: &[u8], weights: &[f32], out: &mut [f32], mut before: impl FnMut()) {
    let rows = bytemuck::cast_slice::<u8, B>(rows).chunks_exact(out.len().div_ceil(RUN));
    for (column, out) in out.chunks_mut(RUN).enumerate() {
        before();
        let d = scales(isa, rows.clone().map(|row| &row[column]));
        let mut sums = padded(out);
        for ((row, &weight), d) in rows.clone().zip(weights).zip(d) {
            let q = row[column].integers();
            for i in 0..RUN {
                sums[i] = weight.mul_add(f32::from(q[i]) * d, sums[i]);
            }
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}
