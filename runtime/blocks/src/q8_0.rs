//! `Q8_0`: 32 weights as signed bytes with one scale.
//!
//! | bytes | what |
//! |---|---|
//! | 0–1 | `d`, f16 |
//! | 2–33 | the weights, i8 |
//!
//! `w = d · q`, q in −128…127 (encoders use −127…127).

use crate::{Block, F16, TensorType};
use bytemuck::{Pod, Zeroable};

/// 32 weights in 34 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Q8_0 {
    /// Scale.
    pub d: F16,
    /// Weights in units of the scale.
    pub q: [i8; 32],
}

const _: () = assert!(size_of::<Q8_0>() == 34);

impl Block for Q8_0 {
    const TYPE: TensorType = TensorType::Q8_0;
    const LEN: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        assert_eq!(out.len(), 32);
        let d = self.d.to_f32();
        for (out, &q) in out.iter_mut().zip(&self.q) {
            *out = f32::from(q) * d;
        }
    }
}
