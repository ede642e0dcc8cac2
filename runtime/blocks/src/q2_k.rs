//! `Q2_K`: 256 weights as 2-bit integers; sixteen groups of 16 with a 4-bit scale and a 4-bit minimum each, under two f16.
//!
//! | bytes | what |
//! |---|---|
//! | 0–15 | `scales`: group `g`'s scale in the low nibble of byte `g`, its minimum in the high |
//! | 16–79 | `q`: weight `128 h + 32 k + i` is at bit `2 k` of byte `32 h + i` |
//! | 80–81 | `d`, f16: scale of the scales |
//! | 82–83 | `dmin`, f16: scale of the minimums |
//!
//! `w = d · scale · q − dmin · min`, q in 0…3.

use crate::{Block, F16, TensorType};
use bytemuck::{Pod, Zeroable};

/// 256 weights in 84 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Q2K {
    /// Scales and minimums, four bits each.
    pub scales: [u8; 16],
    /// The integers.
    pub q: [u8; 64],
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the minimums.
    pub dmin: F16,
}

const _: () = assert!(size_of::<Q2K>() == 84);

/// The 256 two-bit integers, 0…3, of [`Q2K`] and of [`Tq2_0`](crate::Tq2_0), in the order of the weights.
#[inline(always)]
pub(crate) fn two_bits(q: &[u8; 64]) -> [i8; 256] {
    let mut out = [0; 256];
    for (run, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let bytes = &q.as_chunks::<32>().0[run / 4];
        for (out, byte) in out.iter_mut().zip(bytes) {
            *out = (byte >> (2 * (run % 4)) & 3) as i8;
        }
    }
    out
}

impl Q2K {
    /// The integers of the weights, in order.
    #[inline(always)]
    pub fn integers(&self) -> [i8; 256] {
        two_bits(&self.q)
    }
}

impl Block for Q2K {
    const TYPE: TensorType = TensorType::Q2K;
    const LEN: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        assert_eq!(out.len(), 256);
        let (d, dmin) = (self.d.to_f32(), self.dmin.to_f32());
        for (index, (out, q)) in out.iter_mut().zip(self.integers()).enumerate() {
            let scales = self.scales[index / 16];
            *out = d * f32::from(scales & 15) * f32::from(q) - dmin * f32::from(scales >> 4);
        }
    }
}
