//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Scales, multiply_pairs as dot};
use crate::isa::avx2::{Level, heads, levels, nibble_pair, nibbles, transpose};
use blocks::{FP4_LEVELS, Mxfp4};
use core::arch::x86_64::*;

/// Makes all levels positive, and of five bits.
const OFFSET: i32 = 16;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Mxfp4>, x: Per32<'_>, results: &mut Results) {
    dot::<5, OFFSET, _, _>(
        level,
        panel,
        x,
        results,
        |blocks| turned(blocks),
        |blocks| pair(blocks),
        |blocks| scales(blocks),
    );
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn turned(blocks: [&Mxfp4; 8]) -> [__m256i; 8] {
    levels(nibbles(transpose(blocks.map(|block| &block.q))), &FP4_LEVELS.map(|level| level + OFFSET as i8))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pair(blocks: [&Mxfp4; 2]) -> [__m256i; 2] {
    levels(nibble_pair(blocks.map(|block| &block.q)), &FP4_LEVELS.map(|level| level + OFFSET as i8))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(blocks: [&Mxfp4; 8]) -> Scales {
    let [first, _] = heads(blocks);
    let e = _mm256_and_si256(_mm256_cvtepu16_epi32(first), _mm256_set1_epi32(0xff));
    Scales { d: powers(e), m: None }
}

/// [`Mxfp4::d`] of each.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn powers(e: __m256i) -> __m256 {
    let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(e, _mm256_set1_epi32(1)));
    // The two smallest powers are subnormal.
    let least = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), e);
    let is_least = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    _mm256_castsi256_ps(_mm256_blendv_epi8(normal, least, is_least))
}
