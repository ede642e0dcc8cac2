//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx512::{Unpacked, multiply as dot};
use crate::isa::avx512::{add_fifth_bits, halves, nibbles, transpose};
use blocks::Q5_1;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(panel: Panel<'_, Q5_1>, x: Per32<'_>, results: &mut Results) {
    dot::<0, true, _>(panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Q5_1; 16]) -> Unpacked {
    let low = nibbles(transpose(blocks.map(|block| &block.q)));
    let q = add_fifth_bits(low, blocks.map(|block| block.high));
    Unpacked { q, d: halves(blocks.map(|block| block.d)), m: halves(blocks.map(|block| block.m)) }
}
