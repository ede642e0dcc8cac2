//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Unpacked, multiply as dot};
use crate::isa::avx2::{Level, add_fifth_bits, heads, high_halves, low_halves, nibbles, transpose};
use blocks::Q5_1;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q5_1>, x: Per32<'_>, results: &mut Results) {
    dot::<5, 0, _, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(blocks: [&Q5_1; 8]) -> Unpacked {
    let [both, high, ..] = heads(blocks);
    let low = nibbles(transpose(blocks.map(|block| &block.q)));
    let q = add_fifth_bits(low, high);
    Unpacked { q, d: low_halves(both), m: Some(high_halves(both)) }
}
