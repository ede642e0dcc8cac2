//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Unpacked, multiply as dot};
use crate::isa::avx2::{Level, add_fifth_bits, halves, nibbles, transpose};
use blocks::Q5_0;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q5_0>, x: Per32<'_>, results: &mut Results) {
    dot::<5, 16, _, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(blocks: [&Q5_0; 8]) -> Unpacked {
    let low = nibbles(transpose(blocks.map(|block| &block.q)));
    let q = add_fifth_bits(low, blocks.map(|block| block.high));
    Unpacked { q, d: halves(blocks.map(|block| block.d)), m: None }
}
