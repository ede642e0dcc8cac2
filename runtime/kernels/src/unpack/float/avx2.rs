//! See the parent.

use super::{Panel, Results};
use crate::activations::Floats;
use crate::dot::float::{FEW, few, many};
use crate::isa::avx2::{add_products, floats_of, join, load_16, load_32};
use blocks::{Bf16, Block, F16, F32};
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_f32(_: impl Copy, panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    multiply(panel, x, results, |w| floats_of(_mm256_castsi256_ps(load_32(bytemuck::cast_ref(w)))));
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_f16(_: impl Copy, panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    multiply(panel, x, results, |w| floats_of(_mm256_cvtph_ps(load_16(bytemuck::cast_ref(w)))));
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_bf16(_: impl Copy, panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    multiply(panel, x, results, |w| {
        let wide = _mm256_cvtepu16_epi32(load_16(bytemuck::cast_ref(w)));
        floats_of(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide)))
    });
}

/// `load` makes floats of eight weights.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    load: impl Fn(&[B; 8]) -> [f32; 8],
) {
    if results.len() <= FEW {
        few(panel, x, results, load, |sums, w, x| add_products(sums, w, x), |chains| join(chains));
    } else {
        many::<8, 3, _>(
            panel,
            x,
            results,
            load,
            |sums, w, x| add_products(sums, w, x),
            |chains| join(chains),
        );
    }
}
