//! `Q4_K`: 256 weights as 4-bit integers; eight groups of 32 with a 6-bit scale and a 6-bit minimum each, under two f16.
//!
//! | bytes | what |
//! |---|---|
//! | 0–1 | `d`, f16: scale of the scales |
//! | 2–3 | `dmin`, f16: scale of the minimums |
//! | 4–15 | `scales`: eight scales and eight minimums, see [`scale_and_min`] |
//! | 16–143 | `q`: byte `32 c + i` holds weight `64 c + i` in its low nibble, weight `64 c + 32 + i` in its high |
//!
//! `w = d · scale · q − dmin · min`, q in 0…15.

use crate::{Block, F16, TensorType};
use bytemuck::{Pod, Zeroable};

/// 256 weights in 144 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Q4K {
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the minimums.
    pub dmin: F16,
    /// Scales and minimums, six bits each.
    pub scales: [u8; 12],
    /// The integers.
    pub q: [u8; 128],
}

const _: () = assert!(size_of::<Q4K>() == 144);

/// Scale and minimum of group `group` (0…7), 0…63. The first four groups' are the low six bits of bytes 0–3 and 4–7;
/// the last four groups' low four bits share bytes 8–11, their high two bits are the top of bytes 0–3 and 4–7.
#[inline]
pub fn scale_and_min(scales: &[u8; 12], group: usize) -> (u8, u8) {
    let i = group % 4;
    if group < 4 {
        (scales[i] & 63, scales[i + 4] & 63)
    } else {
        let low = scales[i + 8];
        (low & 15 | scales[i] >> 6 << 4, low >> 4 | scales[i + 4] >> 6 << 4)
    }
}

impl Q4K {
    /// Weight `index` (0…255) as its integer, 0…15.
    #[inline]
    pub fn q(&self, index: usize) -> u8 {
        self.q[index / 64 * 32 + index % 32] >> (4 * (index / 32 % 2)) & 15
    }
}

impl Block for Q4K {
    const TYPE: TensorType = TensorType::Q4K;
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
