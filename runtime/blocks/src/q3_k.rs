//! `Q3_K`: 256 weights as 3-bit integers; sixteen groups of 16 with a signed 6-bit scale each, under one f16.
//!
//! | bytes | what |
//! |---|---|
//! | 0–31 | `high`: bit `4 h + k` of byte `i` is the third bit of weight `128 h + 32 k + i` |
//! | 32–95 | `low`: its low two bits are at bit `2 k` of byte `32 h + i` |
//! | 96–107 | `scales`: see [`Q3K::scales`] |
//! | 108–109 | `d`, f16 |
//!
//! `w = d · scale · (q − 4)`, q in 0…7, scale in −32…31.

use crate::{Block, F16, TensorType};
use bytemuck::{Pod, Zeroable};

/// 256 weights in 110 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Q3K {
    /// Third bits.
    pub high: [u8; 32],
    /// Low two bits.
    pub low: [u8; 64],
    /// Scales, six bits each.
    pub scales: [u8; 12],
    /// Scale of the scales.
    pub d: F16,
}

const _: () = assert!(size_of::<Q3K>() == 110);

impl Q3K {
    /// The integers of the weights, −4…3, in order.
    #[inline(always)]
    pub fn integers(&self) -> [i8; 256] {
        let mut out = [0; 256];
        for (run, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let low = &self.low.as_chunks::<32>().0[run / 4];
            for (out, (low, high)) in out.iter_mut().zip(low.iter().zip(&self.high)) {
                *out = (low >> (2 * (run % 4)) & 3 | (high >> run & 1) << 2) as i8 - 4;
            }
        }
        out
    }

    /// The scales, −32…31. Scale `g`'s low four bits are in byte `g mod 8`, the low nibble for g < 8; its high two are
    /// at bit `2 (g div 4)` of byte `8 + g mod 4`.
    #[inline(always)]
    pub fn scales(&self) -> [i8; 16] {
        std::array::from_fn(|g| {
            let low = self.scales[g % 8] >> (4 * (g / 8)) & 15;
            let high = self.scales[8 + g % 4] >> (2 * (g / 4)) & 3;
            (low | high << 4) as i8 - 32
        })
    }
}

impl Block for Q3K {
    const TYPE: TensorType = TensorType::Q3K;
    const LEN: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        assert_eq!(out.len(), 256);
        let (d, scales) = (self.d.to_f32(), self.scales());
        for (index, (out, q)) in out.iter_mut().zip(self.integers()).enumerate() {
            *out = d * f32::from(scales[index / 16]) * f32::from(q);
        }
    }
}
