//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, Out, Scales, multiply as dot};
use crate::isa::avx2::{Level, high_halves, low_halves, nibbles, transpose};
use blocks::Q4K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(_: impl Level, panel: Panel<'_, Q4K>, x: Per256<'_>, results: &mut Results) {
    product(panel, x, results);
}

#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn product(panel: Panel<'_, Q4K>, x: Per256<'_>, results: &mut Results) {
    dot::<4, 32, false, _>(
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
fn scales(blocks: [&Q4K; 8]) -> Scales {
    scales_and_minimums(blocks.map(|block| bytemuck::bytes_of(block).first_chunk().expect("144 bytes")))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<const ALONE: bool>(blocks: [&Q4K; 8], out: &mut Out<'_, 4, 32, false, ALONE>) {
    let sixteens = blocks.map(bytemuck::cast_ref::<Q4K, [[u8; 16]; 9]>);
    // One after the other, not a loop: an address is a row's and a number then, and eight rows fill the registers.
    chunk::<0, ALONE>(sixteens, out);
    chunk::<1, ALONE>(sixteens, out);
    chunk::<2, ALONE>(sixteens, out);
    chunk::<3, ALONE>(sixteens, out);
}

/// 32 bytes: 32 low nibbles, then 32 high ones.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn chunk<const AT: usize, const ALONE: bool>(
    sixteens: [&[[u8; 16]; 9]; 8],
    out: &mut Out<'_, 4, 32, false, ALONE>,
) {
    for half in 0..2 {
        let [a, b, c, d, e, f, g, h] = nibbles(transpose(sixteens.map(|block| &block[1 + 2 * AT + half])));
        out.put(4 * AT + half, [a, b, c, d]);
        out.put(4 * AT + half + 2, [e, f, g, h]);
    }
}

/// From the first sixteen bytes of each block: two halves, then eight scales and eight minimums of six bits.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::unpack) fn scales_and_minimums(heads: [&[u8; 16]; 8]) -> Scales {
    // The halves of a row in its lane; then four scales or minimums, a byte each.
    let [both, scales, min, low] = transpose(heads);
    let (six, four, two) = (_mm256_set1_epi8(0x3f), _mm256_set1_epi8(0x0f), _mm256_set1_epi8(0x30));
    let top = |x| _mm256_and_si256(_mm256_srli_epi16::<2>(x), two);
    let scales = [_mm256_and_si256(scales, six), _mm256_or_si256(_mm256_and_si256(low, four), top(scales))];
    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(low), four);
    let min = [_mm256_and_si256(min, six), _mm256_or_si256(high, top(min))];
    let dmin = high_halves(both);
    // There are eight of each.
    let ([a, b], [c, d]) = (scales, min);
    Scales { scales: [a, b, a, b], d: low_halves(both), minimums: Minimums { min: [c, d, c, d], dmin } }
}
