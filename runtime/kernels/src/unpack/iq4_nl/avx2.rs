//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Scales, multiply_pairs as dot};
use crate::isa::avx2::{Level, heads, levels, nibble_pair, nibbles, transpose};
use blocks::{IQ4_LEVELS, Iq4Nl};
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Iq4Nl>, x: Per32<'_>, results: &mut Results) {
    dot::<8, 0, _, _>(
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
fn turned(blocks: [&Iq4Nl; 8]) -> [__m256i; 8] {
    levels(nibbles(transpose(blocks.map(|block| &block.q))), &IQ4_LEVELS)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pair(blocks: [&Iq4Nl; 2]) -> [__m256i; 2] {
    levels(nibble_pair(blocks.map(|block| &block.q)), &IQ4_LEVELS)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(blocks: [&Iq4Nl; 8]) -> Scales {
    let [d, _] = heads(blocks);
    Scales { d: _mm256_cvtph_ps(d), m: None }
}
