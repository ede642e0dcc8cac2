//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx512::{Layout, Minimums, SUMS, Unpacked, multiply as dot, pairs};
use crate::isa::avx512::{Avx512, halves, nibbles, transpose};
use blocks::Q4K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Q4K>, x: Per256<'_>, results: &mut Results) {
    dot::<Four, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

struct Four;

impl Layout for Four {
    const OFFSET: i32 = 8;
    const STEPS: usize = 8;
    const NARROW: bool = true;
    const MINIMUMS: usize = 8;
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Q4K; 16], out: &mut Unpacked) {
    let sixteens = blocks.map(bytemuck::cast_ref::<Q4K, [[u8; 16]; 9]>);
    for (chunk, q) in out.q.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        for half in 0..2 {
            let four_bits = nibbles(transpose(sixteens.map(|block| &block[1 + 2 * chunk + half])));
            q[4 * half..][..4].copy_from_slice(&four_bits[..4]);
            q[4 * half + 8..][..4].copy_from_slice(&four_bits[4..]);
        }
    }
    scales_and_minimums::<Four>(sixteens.map(|block| &block[0]), out);
    out.d = halves(blocks.map(|block| block.d));
    out.minimums.dmin = halves(blocks.map(|block| block.dmin));
}

/// From the first sixteen bytes of each block: the eight scales and the eight minimums.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in crate::unpack) fn scales_and_minimums<L: Layout>(heads: [&[u8; 16]; 16], out: &mut Unpacked) {
    // Four scales or minimums of a row in its lane, a byte each.
    let [_, scales, min, low] = transpose(heads);
    let (six, four, two) = (_mm512_set1_epi8(0x3f), _mm512_set1_epi8(0x0f), _mm512_set1_epi8(0x30));
    let top = |x| _mm512_and_si512(_mm512_srli_epi16::<2>(x), two);
    let scales = [_mm512_and_si512(scales, six), _mm512_or_si512(_mm512_and_si512(low, four), top(scales))];
    let high = _mm512_and_si512(_mm512_srli_epi16::<4>(low), four);
    let min = [_mm512_and_si512(min, six), _mm512_or_si512(high, top(min))];
    let byte = _mm512_set1_epi32(0xff);
    let Minimums { min: min_out, scales: scale_pairs, .. } = &mut out.minimums;
    for i in 0..2 {
        for (pair, at) in scale_pairs[2 * i..][..2].iter_mut().zip(pairs(scales[i])) {
            *pair = _mm512_mullo_epi16(at, _mm512_set1_epi16((L::OFFSET / SUMS) as i16));
        }
        min_out[2 * i..][..2].copy_from_slice(&pairs(min[i]));
        let four = [
            _mm512_and_si512(scales[i], byte),
            _mm512_and_si512(_mm512_srli_epi32::<8>(scales[i]), byte),
            _mm512_and_si512(_mm512_srli_epi32::<16>(scales[i]), byte),
            _mm512_srli_epi32::<24>(scales[i]),
        ];
        for (two, scale) in out.scales[8 * i..][..8].as_chunks_mut().0.iter_mut().zip(four) {
            *two = [scale; 2];
        }
    }
}
