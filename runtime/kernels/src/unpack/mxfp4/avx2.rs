//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Unpacked, multiply as dot};
use crate::isa::avx2::{Level, heads, levels, nibbles, transpose};
use blocks::{FP4_LEVELS, Mxfp4};
use core::arch::x86_64::*;

/// Makes all levels positive, and of five bits.
const OFFSET: i32 = 16;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Mxfp4>, x: Per32<'_>, results: &mut Results) {
    dot::<5, OFFSET, _, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(blocks: [&Mxfp4; 8]) -> Unpacked {
    let [e, ..] = heads(blocks);
    let q = levels(
        nibbles(transpose(blocks.map(|block| &block.q))),
        &FP4_LEVELS.map(|level| level + OFFSET as i8),
    );
    Unpacked { q, d: scales(_mm256_and_si256(e, _mm256_set1_epi32(0xff))), m: None }
}

/// [`Mxfp4::d`] of each.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(e: __m256i) -> __m256 {
    let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(e, _mm256_set1_epi32(1)));
    // The two smallest powers are subnormal.
    let least = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), e);
    let is_least = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    _mm256_castsi256_ps(_mm256_blendv_epi8(normal, least, is_least))
}
