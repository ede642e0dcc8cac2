//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::neon::{Level, Unpacked, steps};
use crate::isa::neon::{add_fifth_bits, halves, nibbles, signed, transpose};
use blocks::Q5_1;

#[target_feature(enable = "neon")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q5_1>, x: Per32<'_>, results: &mut Results) {
    level.multiply::<{ steps(31) }, _>(panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "neon")]
fn unpack(blocks: [&Q5_1; 4]) -> Unpacked {
    let low = nibbles(transpose(blocks.map(|block| &block.q)));
    let q = signed(add_fifth_bits(low, blocks.map(|block| block.high)), 0);
    let m = Some(halves(blocks.map(|block| block.m)));
    Unpacked { q, d: halves(blocks.map(|block| block.d)), m }
}
