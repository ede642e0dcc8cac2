//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, Out, Scales, multiply as dot};
use crate::isa::avx2::{Level, levels, low_halves, lower, nibbles, transpose, upper};
use blocks::{IQ4_LEVELS, Iq4Xs};
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(_: impl Level, panel: Panel<'_, Iq4Xs>, x: Per256<'_>, results: &mut Results) {
    product(panel, x, results);
}

#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn product(panel: Panel<'_, Iq4Xs>, x: Per256<'_>, results: &mut Results) {
    dot::<8, 32, false, _>(
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
    let [first, low, ..] =
        transpose(blocks.map(|block| bytemuck::bytes_of(block).first_chunk().expect("136 bytes")));
    let four = _mm256_set1_epi8(15);
    let (even, odd) = (_mm256_and_si256(low, four), _mm256_and_si256(_mm256_srli_epi16::<4>(low), four));
    let of = |at: i8, high| {
        // Even ones and odd ones by turns, a byte each.
        let two = [at, at + 1];
        let low =
            _mm256_or_si256(_mm256_shuffle_epi8(even, lower(two)), _mm256_shuffle_epi8(odd, upper(two)));
        _mm256_sub_epi8(_mm256_or_si256(low, fifth_and_sixth(high)), _mm256_set1_epi8(32))
    };
    let (a, b) = (of(0, _mm256_srli_epi32::<16>(first)), of(2, _mm256_srli_epi32::<24>(first)));
    Scales { scales: [a, b, a, b], d: low_halves(first), minimums: Minimums::none() }
}

/// The lowest four pairs of bits of a lane, each as the fifth and sixth of a byte.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn fifth_and_sixth(pairs: __m256i) -> __m256i {
    let (near, far) = (_mm256_slli_epi32::<4>(pairs), _mm256_slli_epi32::<10>(pairs));
    let (near, far) = (
        _mm256_or_si256(near, _mm256_slli_epi32::<12>(near)),
        _mm256_or_si256(far, _mm256_slli_epi32::<12>(far)),
    );
    _mm256_or_si256(
        _mm256_and_si256(near, _mm256_set1_epi32(0x0030_0030)),
        _mm256_and_si256(far, _mm256_set1_epi32(0x3000_3000)),
    )
}
