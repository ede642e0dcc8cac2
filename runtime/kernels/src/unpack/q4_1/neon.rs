//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::neon::{Level, Unpacked, steps};
use crate::isa::neon::{halves, nibbles, signed, transpose};
use blocks::Q4_1;

#[target_feature(enable = "neon")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q4_1>, x: Per32<'_>, results: &mut Results) {
    level.multiply::<{ steps(15) }, _>(panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "neon")]
fn unpack(blocks: [&Q4_1; 4]) -> Unpacked {
    let q = signed(nibbles(transpose(blocks.map(|block| &block.q))), 0);
    let m = Some(halves(blocks.map(|block| block.m)));
    Unpacked { q, d: halves(blocks.map(|block| block.d)), m }
}
