//! `Q5_0`: 32 weights as 5-bit integers with one scale; symmetric about 16.
//!
//! | bytes | what |
//! |---|---|
//! | 0–1 | `d`, f16 |
//! | 2–5 | the fifth bits, little-endian: bit `i` belongs to weight `i` |
//! | 6–21 | byte `i`: weight `i` in the low four bits, weight `i + 16` in the high |
//!
//! `w = d · (q − 16)`, q in 0…31.

use crate::{Block, F16, TensorType};
use bytemuck::{Pod, Zeroable};

/// 32 weights in 22 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Q5_0 {
    /// Scale.
    pub d: F16,
    /// Fifth bits: weight i's is bit i of the little-endian number.
    pub high: [u8; 4],
    /// Low four bits of weights i and i + 16 in byte i.
    pub q: [u8; 16],
}

const _: () = assert!(size_of::<Q5_0>() == 22);

impl Block for Q5_0 {
    const TYPE: TensorType = TensorType::Q5_0;
    const LEN: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        let (low, high) = out.split_at_mut(16);
        assert_eq!(high.len(), 16);
        let d = self.d.to_f32();
        let fifth = u32::from_le_bytes(self.high);
        for i in 0..16 {
            let q_low = u32::from(self.q[i] & 15) | (fifth >> i & 1) << 4;
            let q_high = u32::from(self.q[i] >> 4) | (fifth >> (i + 16) & 1) << 4;
            low[i] = (q_low as i32 - 16) as f32 * d;
            high[i] = (q_high as i32 - 16) as f32 * d;
        }
    }
}
