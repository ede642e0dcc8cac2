//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Unpacked, multiply as dot};
use crate::isa::avx2::{Level, add_fifth_bits, heads, low_halves, nibbles, transpose};
use blocks::Q5_0;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q5_0>, x: Per32<'_>, results: &mut Results) {
    dot::<5, 16, _, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(blocks: [&Q5_0; 8]) -> Unpacked {
    // The scale and the lower fifth bits, then the upper ones.
    let [first, second, ..] = heads(blocks);
    let high = _mm256_or_si256(_mm256_srli_epi32::<16>(first), _mm256_slli_epi32::<16>(second));
    let low = nibbles(transpose(blocks.map(|block| &block.q)));
    let q = add_fifth_bits(low, high);
    Unpacked { q, d: low_halves(first), m: None }
}
