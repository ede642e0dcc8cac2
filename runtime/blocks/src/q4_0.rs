//! `Q4_0`: 32 weights as 4-bit integers with one scale; symmetric about 8.
//!
//! | bytes | what |
//! |---|---|
//! | 0–1 | `d`, f16 |
//! | 2–17 | byte `i`: weight `i` in the low four bits, weight `i + 16` in the high |
//!
//! `w = d · (q − 8)`, q in 0…15. The scale may be negative: encoders give the largest weight the −8.

use crate::{Block, F16, TensorType};
use bytemuck::{Pod, Zeroable};

/// 32 weights in 18 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Q4_0 {
    /// Scale.
    pub d: F16,
    /// Weights i and i + 16 in byte i, low and high nibble, plus 8.
    pub q: [u8; 16],
}

const _: () = assert!(size_of::<Q4_0>() == 18);

impl Block for Q4_0 {
    const TYPE: TensorType = TensorType::Q4_0;
    const LEN: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        let (low, high) = out.split_at_mut(16);
        assert_eq!(high.len(), 16);
        let d = self.d.to_f32();
        for i in 0..16 {
            low[i] = (i32::from(self.q[i] & 15) - 8) as f32 * d;
            high[i] = (i32::from(self.q[i] >> 4) - 8) as f32 * d;
        }
    }
}
