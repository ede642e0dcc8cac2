//! `MXFP4`: 32 weights as floats of 4 bits (a sign, two bits of exponent, one of mantissa) under a power of two.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | `e`: the power, with a bias of 127 |
//! | 1–16 | `q`: byte `i` holds weight `i` in its low nibble, weight `i + 16` in its high |
//!
//! `w = 2^(e − 128) · level[q]`, the levels being [`FP4_LEVELS`]: twice the floats, so that they are integers.

use crate::{Block, TensorType};
use bytemuck::{Pod, Zeroable};

/// 32 weights in 17 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Mxfp4 {
    /// Exponent of the scale.
    pub e: u8,
    /// Floats of weights i and i + 16 in byte i.
    pub q: [u8; 16],
}

const _: () = assert!(size_of::<Mxfp4>() == 17);

/// What the nibbles of `MXFP4` stand for, times two.
pub const FP4_LEVELS: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

impl Mxfp4 {
    /// Twice the weights' floats, in order.
    #[inline(always)]
    pub fn integers(&self) -> [i8; 32] {
        std::array::from_fn(|i| FP4_LEVELS[usize::from(self.q[i % 16] >> (4 * (i / 16)) & 15)])
    }

    /// Half the scale: what [`integers`](Self::integers) are multiplied with.
    #[inline(always)]
    pub fn d(&self) -> f32 {
        // The two smallest powers are subnormal: no exponent, one bit of the mantissa.
        let bits = if self.e < 2 { 0x0020_0000 << self.e } else { (u32::from(self.e) - 1) << 23 };
        f32::from_bits(bits)
    }
}

impl Block for Mxfp4 {
    const TYPE: TensorType = TensorType::Mxfp4;
    const LEN: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        assert_eq!(out.len(), 32);
        for (out, q) in out.iter_mut().zip(self.integers()) {
            *out = self.d() * f32::from(q);
        }
    }
}
