//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx512::{Unpacked, multiply as dot};
use crate::isa::avx512::{Avx512, add_fifth_bits, low_halves, nibbles, transpose};
use blocks::Q5_0;
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Q5_0>, x: Per32<'_>, results: &mut Results) {
    dot::<16, false, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Q5_0; 16]) -> Unpacked {
    // The scale, the fifth bits (from the third byte on) and ten bytes of nibbles, which are loaded again.
    let [first, second, ..] =
        transpose(blocks.map(|block| bytemuck::bytes_of(block).first_chunk().expect("22 bytes")));
    let high = _mm512_or_si512(_mm512_srli_epi32::<16>(first), _mm512_slli_epi32::<16>(second));
    let q = add_fifth_bits(nibbles(transpose(blocks.map(|block| &block.q))), high);
    Unpacked { q, d: low_halves(first), m: _mm512_setzero_ps() }
}
