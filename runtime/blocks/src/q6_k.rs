//! `Q6_K`: 256 weights as 6-bit integers; sixteen groups of 16 with a signed 8-bit scale each, under one f16.
//!
//! | bytes | what |
//! |---|---|
//! | 0–127 | `low`: the low four bits |
//! | 128–191 | `high`: the high two bits |
//! | 192–207 | `scales`, i8: group `g` holds weights `16 g … 16 g + 15` |
//! | 208–209 | `d`, f16 |
//!
//! `w = d · scale · (q − 32)`, q in 0…63. The block is two halves of 128 weights; in a half, weight `32 k + i`
//! (k in 0…3, i in 0…31) has its low bits in `low[64·half + i + 32·(k mod 2)]` (low nibble for k < 2, high nibble
//! else) and its high bits at bit `2 k` of `high[32·half + i]`.

use crate::{Block, F16, TensorType};
use bytemuck::{Pod, Zeroable};

/// 256 weights in 210 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Q6K {
    /// Low four bits.
    pub low: [u8; 128],
    /// High two bits.
    pub high: [u8; 64],
    /// A scale for every 16 weights, in units of `d`.
    pub scales: [i8; 16],
    /// Scale of the scales.
    pub d: F16,
}

const _: () = assert!(size_of::<Q6K>() == 210);

impl Q6K {
    /// Weight `index` (0…255) as its integer, −32…31.
    #[inline]
    pub fn q(&self, index: usize) -> i32 {
        let (half, k, i) = (index / 128, index / 32 % 4, index % 32);
        let low = self.low[64 * half + i + 32 * (k % 2)] >> (4 * (k / 2)) & 15;
        let high = self.high[32 * half + i] >> (2 * k) & 3;
        i32::from(low | high << 4) - 32
    }
}

impl Block for Q6K {
    const TYPE: TensorType = TensorType::Q6K;
    const LEN: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        assert_eq!(out.len(), 256);
        let d = self.d.to_f32();
        for (index, out) in out.iter_mut().enumerate() {
            // In this order: d · scale is exact (11 + 8 bits), the product with q rounds once, as in ggml.
            *out = d * f32::from(self.scales[index / 16]) * self.q(index) as f32;
        }
    }
}
