//! Plain numbers: the nearest. Beyond the range of a half (65504) or of a bfloat16 stands the largest finite number
//! and not infinity, which would make every product with it useless.

use super::Encode;
use blocks::{Bf16, F16, F32};
use half::slice::HalfFloatSliceExt;

impl Encode for F32 {
    fn encode(weights: &[f32], _: Option<&[f32]>, out: &mut [Self]) {
        assert_eq!(weights.len(), out.len());
        for (out, &weight) in out.iter_mut().zip(weights) {
            *out = Self::from_f32(weight);
        }
    }
}

impl Encode for F16 {
    fn encode(weights: &[f32], _: Option<&[f32]>, out: &mut [Self]) {
        assert_eq!(weights.len(), out.len());
        const MAX: f32 = 65504.0;
        // In pieces on the stack: `half` converts slices with the processor's instruction where it has one, but wants
        // them aligned, and a file's bytes need not be.
        const PIECE: usize = 64;
        for (weights, out) in weights.chunks(PIECE).zip(out.chunks_mut(PIECE)) {
            let mut clamped = [0.0; PIECE];
            let mut halves = [half::f16::ZERO; PIECE];
            let n = weights.len();
            for (clamped, weight) in clamped.iter_mut().zip(weights) {
                *clamped = weight.clamp(-MAX, MAX);
            }
            halves[..n].convert_from_f32_slice(&clamped[..n]);
            for (out, half) in out.iter_mut().zip(&halves) {
                *out = Self(half.to_le_bytes());
            }
        }
    }
}

impl Encode for Bf16 {
    fn encode(weights: &[f32], _: Option<&[f32]>, out: &mut [Self]) {
        assert_eq!(weights.len(), out.len());
        let max = half::bf16::MAX.to_f32();
        for (out, &weight) in out.iter_mut().zip(weights) {
            *out = Self::from_f32(weight.clamp(-max, max));
        }
    }
}
