//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, Out, Scales, multiply as dot};
use crate::isa::avx2::{Level, levels, low_halves, nibbles, transpose};
use blocks::{IQ4_LEVELS, Iq4Xs};
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Iq4Xs>, x: Per256<'_>, results: &mut Results) {
    dot::<8, 32, false, _>(
        level,
        panel,
        x,
        results,
        |blocks| scales(blocks),
        |blocks, out| unpack(blocks, out),
        |blocks, out| unpack(blocks, out),
    );
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<const ALONE: bool>(blocks: [&Iq4Xs; 8], out: &mut Out<'_, 8, 32, false, ALONE>) {
    for at in 0..8 {
        let q = blocks.map(|block| &block.q.as_chunks().0[at]);
        let [a, b, c, d, e, f, g, h] = levels(nibbles(transpose(q)), &IQ4_LEVELS);
        out.put(2 * at, [a, b, c, d]);
        out.put(2 * at + 1, [e, f, g, h]);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(blocks: [&Iq4Xs; 8]) -> Scales {
    // The scale of scales and two bits of each of these in a lane, four of each in the next.
    let [first, mut low, ..] =
        transpose(blocks.map(|block| bytemuck::bytes_of(block).first_chunk().expect("136 bytes")));
    let mut high = _mm256_srli_epi32::<12>(first);
    let mut scales = [first; 16];
    for scales in &mut scales[..8] {
        let four = _mm256_and_si256(low, _mm256_set1_epi32(15));
        let scale = _mm256_or_si256(four, _mm256_and_si256(high, _mm256_set1_epi32(0x30)));
        let scale = _mm256_sub_epi32(scale, _mm256_set1_epi32(32));
        // Twice in its lane: for each sixteen of the 32.
        *scales = _mm256_blend_epi16::<0xaa>(scale, _mm256_slli_epi32::<16>(scale));
        (low, high) = (_mm256_srli_epi32::<4>(low), _mm256_srli_epi32::<2>(high));
    }
    Scales { scales, d: low_halves(first), minimums: Minimums::none() }
}
