//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx512::alone::{self, Beside, Row, ScaleBytes};
use crate::dot::per_256::avx512::{Layout, Minimums, SUMS, Unpacked, by_halves, multiply as dot, pairs};
use crate::isa::avx512::{Avx512, high_halves, load_32, low_halves, nibbles, store_64, transpose};
use blocks::{Block, Q4K};
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Q4K>, x: Per256<'_>, results: &mut Results) {
    if let [alone] = results {
        return alone::multiply::<Four, _>(
            panel,
            x,
            alone,
            |block| nibbles_in_order(&block.q),
            |blocks, scales| beside(blocks, scales),
        );
    }
    dot::<Four, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

struct Four;

impl Layout for Four {
    const OFFSET: i32 = 8;
    const STEPS: usize = 8;
    const NARROW: bool = true;
    const MINIMUMS: usize = 8;
}

impl Row for Four {
    const GROUP: usize = 32;
}

/// Four bits of a block's weights, sixty-four after sixty-four: 32 bytes have 32 of them in low nibbles and the next in high ones.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in crate::unpack) fn nibbles_in_order(bytes: &[u8; 128]) -> [__m512i; 4] {
    [0, 1, 2, 3].map(|at| {
        let both = _mm512_broadcast_i64x4(load_32(&bytes.as_chunks().0[at]));
        _mm512_and_si512(_mm512_srlv_epi16(both, by_halves(0, 4)), _mm512_set1_epi8(15))
    })
}

/// What blocks have in their first sixteen bytes.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in crate::unpack) fn beside<B: Block>(blocks: [&B; 16], out: &mut ScaleBytes) -> Beside {
    let heads = blocks.map(|block| bytemuck::bytes_of(block).first_chunk().expect("sixteen bytes and more"));
    let Six { floats, scales: [low, high], min } = six(heads);
    // Eight bytes of blocks 0, 1, 4, 5 and so on, and of the others; then in order.
    let (some, others) = (_mm512_unpacklo_epi32(low, high), _mm512_unpackhi_epi32(low, high));
    for (half, out) in out.as_chunks_mut().0[..2].iter_mut().enumerate() {
        let order =
            _mm512_add_epi64(_mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), _mm512_set1_epi64(4 * half as i64));
        store_64(out, _mm512_permutex2var_epi64(some, order, others));
    }
    let ([a, b], [c, d], zero) = (pairs(min[0]), pairs(min[1]), _mm512_setzero_si512());
    let minimums =
        Minimums { min: [a, b, c, d, zero, zero, zero, zero], scales: [zero; 4], dmin: high_halves(floats) };
    Beside { d: low_halves(floats), minimums }
}

/// The scales and minimums of sixteen rows, each in its lane.
struct Six {
    /// Both halves.
    floats: __m512i,
    /// Four of eight in a vector, a byte each.
    scales: [__m512i; 2],
    min: [__m512i; 2],
}

/// From the first sixteen bytes of each block.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn six(heads: [&[u8; 16]; 16]) -> Six {
    let [floats, scales, min, low] = transpose(heads);
    let (six, four, two) = (_mm512_set1_epi8(0x3f), _mm512_set1_epi8(0x0f), _mm512_set1_epi8(0x30));
    let top = |x| _mm512_and_si512(_mm512_srli_epi16::<2>(x), two);
    let high = _mm512_and_si512(_mm512_srli_epi16::<4>(low), four);
    Six {
        floats,
        scales: [_mm512_and_si512(scales, six), _mm512_or_si512(_mm512_and_si512(low, four), top(scales))],
        min: [_mm512_and_si512(min, six), _mm512_or_si512(high, top(min))],
    }
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
}

/// From the first sixteen bytes of each block: both floats, the eight scales and the eight minimums.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in crate::unpack) fn scales_and_minimums<L: Layout>(heads: [&[u8; 16]; 16], out: &mut Unpacked) {
    let Six { floats, scales, min } = six(heads);
    let byte = _mm512_set1_epi32(0xff);
    out.d = low_halves(floats);
    let Minimums { min: min_out, scales: scale_pairs, dmin } = &mut out.minimums;
    *dmin = high_halves(floats);
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
