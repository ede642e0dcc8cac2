//! See the parent.

use super::{Panel, Results};
use crate::activations::Floats;
use crate::dot::float::avx2::multiply as dot;
use crate::isa::avx2::{load_16, transpose};
use blocks::{Bf16, F16, F32};
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_f32(_: impl Copy, panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    dot::<4, _>(panel, x, results, |rows| transpose(rows).map(|column| _mm256_castsi256_ps(column)));
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_f16(_: impl Copy, panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    dot::<8, _>(panel, x, results, |rows| {
        // Of each lane's two halves the first of eight rows, then the second.
        let halves = load_16(&[0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15]);
        let halves = _mm256_broadcastsi128_si256(halves);
        let [a, b, c, d] = transpose(rows).map(|two| {
            let two = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_shuffle_epi8(two, halves));
            let second = _mm256_extracti128_si256::<1>(two);
            [_mm256_cvtph_ps(_mm256_castsi256_si128(two)), _mm256_cvtph_ps(second)]
        });
        [a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]]
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_bf16(_: impl Copy, panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    dot::<8, _>(panel, x, results, |rows| {
        let [a, b, c, d] = transpose(rows).map(|two| {
            let second = _mm256_and_si256(two, _mm256_set1_epi32(0xffff_0000_u32 as i32));
            [_mm256_slli_epi32::<16>(two), second].map(|column| _mm256_castsi256_ps(column))
        });
        [a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]]
    });
}
