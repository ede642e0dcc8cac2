//! See the parent.

use crate::isa::avx2::{load_16, load_floats, store_16, store_floats};
use blocks::F16;
use core::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn to_f32(_: impl Copy, halves: &[F16], out: &mut [f32]) {
    let ((halves, halves_rest), (out, out_rest)) = (halves.as_chunks::<8>(), out.as_chunks_mut::<8>());
    for (halves, out) in halves.iter().zip(out) {
        store_floats(out, _mm256_cvtph_ps(load_16(bytemuck::cast_ref(halves))));
    }
    super::scalar::to_f32(halves_rest, out_rest);
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn from_f32(_: impl Copy, floats: &[f32], out: &mut [F16]) {
    let ((floats, floats_rest), (out, out_rest)) = (floats.as_chunks::<8>(), out.as_chunks_mut::<8>());
    for (floats, out) in floats.iter().zip(out) {
        let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(load_floats(floats));
        store_16(bytemuck::cast_mut(out), halves);
    }
    super::scalar::from_f32(floats_rest, out_rest);
}
