//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Scales, multiply as dot};
use crate::isa::avx2::{Level, add_fifth_bits, low_halves, nibbles, sixteen, transpose};
use blocks::Q5_0;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q5_0>, x: Per32<'_>, results: &mut Results) {
    dot::<5, 16, _, _>(level, panel, x, results, |blocks| turned(blocks), |blocks| scales(blocks));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn turned(blocks: [&Q5_0; 8]) -> [__m256i; 8] {
    // The scale and the lower fifth bits, then the upper ones.
    let [first, second, ..] = transpose(sixteen(blocks));
    let high = _mm256_or_si256(_mm256_srli_epi32::<16>(first), _mm256_slli_epi32::<16>(second));
    add_fifth_bits(nibbles(transpose(blocks.map(|block| &block.q))), high)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(blocks: [&Q5_0; 8]) -> Scales {
    let [d, ..] = transpose(sixteen(blocks));
    Scales { d: low_halves(d), m: None }
}
