//! See the parent.

use super::{Panel, Results, avx2};
use crate::activations::Floats;
use crate::dot::float::{FEW, many};
use crate::isa::avx2::{floats_of, join, load_16, load_32};
use crate::isa::avx512::add_products;
use blocks::{Bf16, F16, F32};
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply_f32(panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    if results.len() <= FEW {
        return avx2::multiply_f32((), panel, x, results);
    }
    let load = |w: &_| floats_of(_mm256_castsi256_ps(load_32(bytemuck::cast_ref(w))));
    many::<16, 6, _>(panel, x, results, load, |sums, w, x| add_products(sums, w, x), |chains| join(chains));
}

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply_f16(panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    if results.len() <= FEW {
        return avx2::multiply_f16((), panel, x, results);
    }
    let load = |w: &_| floats_of(_mm256_cvtph_ps(load_16(bytemuck::cast_ref(w))));
    many::<16, 6, _>(panel, x, results, load, |sums, w, x| add_products(sums, w, x), |chains| join(chains));
}

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply_bf16(panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    if results.len() <= FEW {
        return avx2::multiply_bf16((), panel, x, results);
    }
    let load = |w: &_| {
        let wide = _mm256_cvtepu16_epi32(load_16(bytemuck::cast_ref(w)));
        floats_of(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide)))
    };
    many::<16, 6, _>(panel, x, results, load, |sums, w, x| add_products(sums, w, x), |chains| join(chains));
}
