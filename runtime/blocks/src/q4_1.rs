//! `Q4_1`: 32 weights as 4-bit integers with a scale and a minimum.
//!
//! | bytes | what |
//! |---|---|
//! | 0–1 | `d`, f16 |
//! | 2–3 | `m`, f16 |
//! | 4–19 | byte `i`: weight `i` in the low four bits, weight `i + 16` in the high |
//!
//! `w = d · q + m`, q in 0…15.

use crate::{Block, F16, TensorType};
use bytemuck::{Pod, Zeroable};

/// 32 weights in 20 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Q4_1 {
    /// Scale.
    pub d: F16,
    /// Minimum: the weight of q = 0.
    pub m: F16,
    /// Weights i and i + 16 in byte i, low and high nibble.
    pub q: [u8; 16],
}

const _: () = assert!(size_of::<Q4_1>() == 20);

impl Block for Q4_1 {
    const TYPE: TensorType = TensorType::Q4_1;
    const LEN: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        let (low, high) = out.split_at_mut(16);
        assert_eq!(high.len(), 16);
        let (d, m) = (self.d.to_f32(), self.m.to_f32());
        for i in 0..16 {
            low[i] = f32::from(self.q[i] & 15) * d + m;
            high[i] = f32::from(self.q[i] >> 4) * d + m;
        }
    }
}
