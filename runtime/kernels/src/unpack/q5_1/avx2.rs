//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Scales, multiply as dot};
use crate::isa::avx2::{Level, add_fifth_bits, high_halves, low_halves, nibbles, sixteen, transpose};
use blocks::Q5_1;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q5_1>, x: Per32<'_>, results: &mut Results) {
    dot::<5, 0, _, _>(level, panel, x, results, |blocks| turned(blocks), |blocks| scales(blocks));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn turned(blocks: [&Q5_1; 8]) -> [__m256i; 8] {
    let [_, high, ..] = transpose(sixteen(blocks));
    add_fifth_bits(nibbles(transpose(blocks.map(|block| &block.q))), high)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(blocks: [&Q5_1; 8]) -> Scales {
    let [both, ..] = transpose(sixteen(blocks));
    Scales { d: low_halves(both), m: Some(high_halves(both)) }
}
