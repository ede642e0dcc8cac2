//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::neon::{Level, Unpacked, steps};
use crate::isa::neon::{add_fifth_bits, halves, nibbles, signed, transpose};
use blocks::Q5_0;

#[target_feature(enable = "neon")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q5_0>, x: Per32<'_>, results: &mut Results) {
    level.multiply::<{ steps(16) }, _>(panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "neon")]
fn unpack(blocks: [&Q5_0; 4]) -> Unpacked {
    let low = nibbles(transpose(blocks.map(|block| &block.q)));
    let q = signed(add_fifth_bits(low, blocks.map(|block| block.high)), 16);
    Unpacked { q, d: halves(blocks.map(|block| block.d)), m: None }
}
