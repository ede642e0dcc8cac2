//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Scales, multiply_pairs as dot};
use crate::isa::avx2::{Level, heads, nibble_pair, nibbles, transpose};
use blocks::Q4_1;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q4_1>, x: Per32<'_>, results: &mut Results) {
    dot::<4, 0, _, _>(
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
fn turned(blocks: [&Q4_1; 8]) -> [__m256i; 8] {
    nibbles(transpose(blocks.map(|block| &block.q)))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pair(blocks: [&Q4_1; 2]) -> [__m256i; 2] {
    nibble_pair(blocks.map(|block| &block.q))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(blocks: [&Q4_1; 8]) -> Scales {
    let [d, m] = heads(blocks);
    Scales { d: _mm256_cvtph_ps(d), m: Some(_mm256_cvtph_ps(m)) }
}
