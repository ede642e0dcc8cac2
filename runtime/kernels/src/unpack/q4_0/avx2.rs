//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Unpacked, multiply as dot};
use crate::isa::avx2::{Level, heads, low_halves, nibbles, transpose};
use blocks::Q4_0;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q4_0>, x: Per32<'_>, results: &mut Results) {
    dot::<4, 8, _, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(blocks: [&Q4_0; 8]) -> Unpacked {
    let [d, ..] = heads(blocks);
    let q = nibbles(transpose(blocks.map(|block| &block.q)));
    Unpacked { q, d: low_halves(d), m: None }
}
