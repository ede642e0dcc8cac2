//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Unpacked, multiply as dot};
use crate::isa::avx2::{Level, levels, low_halves, nibbles, transpose};
use blocks::{IQ4_LEVELS, Iq4Xs};
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Iq4Xs>, x: Per256<'_>, results: &mut Results) {
    dot::<8, 32, 0, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(blocks: [&Iq4Xs; 8], out: &mut Unpacked) {
    for (at, q) in out.q.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *q = levels(nibbles(transpose(blocks.map(|block| &block.q.as_chunks().0[at]))), &IQ4_LEVELS);
    }
    // The scale of scales and two bits of each of these in a lane, four of each in the next.
    let [first, mut low, ..] =
        transpose(blocks.map(|block| bytemuck::bytes_of(block).first_chunk().expect("136 bytes")));
    let mut high = _mm256_srli_epi32::<12>(first);
    for scales in &mut out.scales {
        let four = _mm256_and_si256(low, _mm256_set1_epi32(15));
        let scale = _mm256_or_si256(four, _mm256_and_si256(high, _mm256_set1_epi32(0x30)));
        let scale = _mm256_sub_epi32(scale, _mm256_set1_epi32(32));
        // Twice in its lane: for each sixteen of the 32.
        *scales = _mm256_blend_epi16::<0xaa>(scale, _mm256_slli_epi32::<16>(scale));
        (low, high) = (_mm256_srli_epi32::<4>(low), _mm256_srli_epi32::<2>(high));
    }
    out.d = low_halves(first);
}
