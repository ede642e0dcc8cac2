//! `IQ4_XS`: 256 weights as indices into `IQ4_NL`'s sixteen levels; eight groups of 32 with a signed 6-bit scale each, under
//! one f16.
//!
//! | bytes | what |
//! |---|---|
//! | 0–1 | `d`, f16 |
//! | 2–3 | `scales_high`, little-endian: the high two bits of group `g`'s scale are at bit `2 g` |
//! | 4–7 | `scales_low`: the low four bits, of two groups in a byte |
//! | 8–135 | `q`: byte `16 g + i` holds weight `32 g + i` in its low nibble, weight `32 g + 16 + i` in its high |
//!
//! `w = d · scale · level[q]`, the levels being [`IQ4_LEVELS`], scale in −32…31.

use crate::{Block, F16, IQ4_LEVELS, TensorType};
use bytemuck::{Pod, Zeroable};

/// 256 weights in 136 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Iq4Xs {
    /// Scale of the scales.
    pub d: F16,
    /// High two bits of the scales.
    pub scales_high: [u8; 2],
    /// Low four bits of the scales.
    pub scales_low: [u8; 4],
    /// Indices.
    pub q: [u8; 128],
}

const _: () = assert!(size_of::<Iq4Xs>() == 136);

impl Iq4Xs {
    /// The levels of the weights, in order.
    #[inline(always)]
    pub fn integers(&self) -> [i8; 256] {
        let mut out = [0; 256];
        for (out, bytes) in out.as_chunks_mut::<32>().0.iter_mut().zip(self.q.as_chunks::<16>().0) {
            let (low, high) = out.split_at_mut(16);
            for (byte, (low, high)) in bytes.iter().zip(low.iter_mut().zip(high)) {
                *low = IQ4_LEVELS[usize::from(byte & 15)];
                *high = IQ4_LEVELS[usize::from(byte >> 4)];
            }
        }
        out
    }

    /// The scale of group `group` (0…7), −32…31.
    #[inline(always)]
    pub fn scale(&self, group: usize) -> i8 {
        let low = self.scales_low[group / 2] >> (4 * (group % 2)) & 15;
        let high = u16::from_le_bytes(self.scales_high) >> (2 * group) & 3;
        (low | (high as u8) << 4) as i8 - 32
    }
}

impl Block for Iq4Xs {
    const TYPE: TensorType = TensorType::Iq4Xs;
    const LEN: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        assert_eq!(out.len(), 256);
        let d = self.d.to_f32();
        for (index, (out, q)) in out.iter_mut().zip(self.integers()).enumerate() {
            *out = d * f32::from(self.scale(index / 32)) * f32::from(q);
        }
    }
}
