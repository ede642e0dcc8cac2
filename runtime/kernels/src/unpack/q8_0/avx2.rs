//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Scales, multiply_pairs as dot};
use crate::isa::avx2::{Level, heads, side_by_side, transpose};
use blocks::Q8_0;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q8_0>, x: Per32<'_>, results: &mut Results) {
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
fn turned(blocks: [&Q8_0; 8]) -> [__m256i; 8] {
    let [low, high] = halves(blocks);
    let ([a, b, c, d], [e, f, g, h]) = (transpose(low), transpose(high));
    [a, b, c, d, e, f, g, h]
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pair(blocks: [&Q8_0; 2]) -> [__m256i; 2] {
    halves(blocks).map(|[a, b]| side_by_side(a, b))
}

/// The first sixteen columns of each row, and the others.
fn halves<const N: usize>(blocks: [&Q8_0; N]) -> [[&[u8; 16]; N]; 2] {
    [0, 1].map(|half| blocks.map(|block| &bytemuck::cast_ref::<[i8; 32], [[u8; 16]; 2]>(&block.q)[half]))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(blocks: [&Q8_0; 8]) -> Scales {
    let [d, _] = heads(blocks);
    Scales { d: _mm256_cvtph_ps(d), m: None }
}
