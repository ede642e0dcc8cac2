//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx512::{Unpacked, multiply as dot};
use crate::isa::avx512::{Avx512, halves, nibbles, transpose};
use blocks::Q4_1;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Q4_1>, x: Per32<'_>, results: &mut Results) {
    if let [_] = results {
        return super::avx2::multiply(level, panel, x, results);
    }
    dot::<0, true, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Q4_1; 16]) -> Unpacked {
    let q = nibbles(transpose(blocks.map(|block| &block.q)));
    Unpacked { q, d: halves(blocks.map(|block| block.d)), m: halves(blocks.map(|block| block.m)) }
}
