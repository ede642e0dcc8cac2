//! `Q5_1`: 32 weights as 5-bit integers with a scale and a minimum.
//!
//! | bytes | what |
//! |---|---|
//! | 0–1 | `d`, f16 |
//! | 2–3 | `m`, f16 |
//! | 4–7 | the fifth bits, little-endian: bit `i` belongs to weight `i` |
//! | 8–23 | byte `i`: weight `i` in the low four bits, weight `i + 16` in the high |
//!
//! `w = d · q + m`, q in 0…31.

use crate::{Block, F16, TensorType};
use bytemuck::{Pod, Zeroable};

/// 32 weights in 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Q5_1 {
    /// Scale.
    pub d: F16,
    /// Minimum: the weight of q = 0.
    pub m: F16,
    /// Fifth bits: weight i's is bit i of the little-endian number.
    pub high: [u8; 4],
    /// Low four bits of weights i and i + 16 in byte i.
    pub q: [u8; 16],
}

const _: () = assert!(size_of::<Q5_1>() == 24);

impl Block for Q5_1 {
    const TYPE: TensorType = TensorType::Q5_1;
    const LEN: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        let (low, high) = out.split_at_mut(16);
        assert_eq!(high.len(), 16);
        let (d, m) = (self.d.to_f32(), self.m.to_f32());
        let fifth = u32::from_le_bytes(self.high);
        for i in 0..16 {
            let q_low = u32::from(self.q[i] & 15) | (fifth >> i & 1) << 4;
            let q_high = u32::from(self.q[i] >> 4) | (fifth >> (i + 16) & 1) << 4;
            low[i] = q_low as f32 * d + m;
            high[i] = q_high as f32 * d + m;
        }
    }
}
