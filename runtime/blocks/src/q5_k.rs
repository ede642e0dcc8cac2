//! `Q5_K`: 256 weights as 5-bit integers; eight groups of 32 with a 6-bit scale and a 6-bit minimum each, under two f16.
//!
//! | bytes | what |
//! |---|---|
//! | 0–1 | `d`, f16: scale of the scales |
//! | 2–3 | `dmin`, f16: scale of the minimums |
//! | 4–15 | `scales`: as in `Q4_K`, see [`scale_and_min`] |
//! | 16–47 | `high`: bit `g` of byte `i` is the fifth bit of weight `32 g + i` |
//! | 48–175 | `low`: byte `32 c + i` holds weight `64 c + i` in its low nibble, weight `64 c + 32 + i` in its high |
//!
//! `w = d · scale · q − dmin · min`, q in 0…31.

use crate::{Block, F16, TensorType, scale_and_min};
use bytemuck::{Pod, Zeroable};

/// 256 weights in 176 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Q5K {
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the minimums.
    pub dmin: F16,
    /// Scales and minimums, six bits each.
    pub scales: [u8; 12],
    /// Fifth bits.
    pub high: [u8; 32],
    /// Low four bits.
    pub low: [u8; 128],
}

const _: () = assert!(size_of::<Q5K>() == 176);

impl Q5K {
    /// Weight `index` (0…255) as its integer, 0…31.
    #[inline]
    pub fn q(&self, index: usize) -> u8 {
        let low = self.low[index / 64 * 32 + index % 32] >> (4 * (index / 32 % 2)) & 15;
        low | (self.high[index % 32] >> (index / 32) & 1) << 4
    }
}

impl Block for Q5K {
    const TYPE: TensorType = TensorType::Q5K;
    const LEN: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        assert_eq!(out.len(), 256);
        let (d, dmin) = (self.d.to_f32(), self.dmin.to_f32());
        for (index, out) in out.iter_mut().enumerate() {
            let (scale, min) = scale_and_min(&self.scales, index / 32);
            *out = d * f32::from(scale) * f32::from(self.q(index)) - dmin * f32::from(min);
        }
    }
}
