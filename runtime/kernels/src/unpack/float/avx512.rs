//! See the parent.

use super::{Panel, Results, avx2};
use crate::activations::Floats;
use crate::dot::float::avx512::multiply as dot;
use crate::isa::avx512::{load_32, load_64};
use blocks::{Bf16, F16, F32};
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply_f32(panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    if let [_] = results {
        return avx2::multiply_f32((), panel, x, results);
    }
    dot(panel, x, results, |w| _mm512_castsi512_ps(load_64(bytemuck::cast_ref(w))));
}

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply_f16(panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    if let [_] = results {
        return avx2::multiply_f16((), panel, x, results);
    }
    dot(panel, x, results, |w| _mm512_cvtph_ps(load_32(bytemuck::cast_ref(w))));
}

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply_bf16(panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    if let [_] = results {
        return avx2::multiply_bf16((), panel, x, results);
    }
    dot(panel, x, results, |w| {
        let wide = _mm512_cvtepu16_epi32(load_32(bytemuck::cast_ref(w)));
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
    });
}
