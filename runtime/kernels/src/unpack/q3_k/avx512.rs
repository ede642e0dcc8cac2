//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx512::alone::{self, Beside, Row, ScaleBytes};
use crate::dot::per_256::avx512::{
    Layout, Minimums, Unpacked, add_bits_in_order, multiply as dot, narrow_scales, two_bits,
    two_bits_in_order,
};
use crate::isa::avx512::{Avx512, low_halves, transpose, transpose_from, turned_back};
use blocks::Q3K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Q3K>, x: Per256<'_>, results: &mut Results) {
    if let [alone] = results {
        return alone::multiply::<Three, _>(
            panel,
            x,
            alone,
            |block| columns(block),
            |blocks, scales| beside(blocks, scales),
        );
    }
    dot::<Three, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

struct Three;

impl Layout for Three {
    const OFFSET: i32 = 4;
    const STEPS: usize = 4;
    const NARROW: bool = true;
    const MINIMUMS: usize = 0;
}

impl Row for Three {
    const GROUP: usize = 16;
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn columns(block: &Q3K) -> [__m512i; 4] {
    add_bits_in_order::<4>(two_bits_in_order(&block.low), &block.high)
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn beside(blocks: [&Q3K; 16], scales: &mut ScaleBytes) -> Beside {
    let (in_lanes, halves) = scales_of(blocks);
    *scales = bytemuck::cast(turned_back(in_lanes));
    Beside { d: low_halves(halves), minimums: Minimums::none() }
}

/// Four scales of a row in its lane of each vector, a byte each, and the half in the lower part of its lane.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn scales_of(blocks: [&Q3K; 16]) -> ([__m512i; 4], __m512i) {
    // The block's last sixteen bytes: two of weights, then twelve of scales and the scale of these.
    let [a, b, high, d] =
        transpose_from::<2>(blocks.map(|block| bytemuck::bytes_of(block).last_chunk().expect("110 bytes")));
    let (four, two) = (_mm512_set1_epi8(15), _mm512_set1_epi8(0x30));
    let six = |low, high| {
        let scale = _mm512_or_si512(_mm512_and_si512(low, four), _mm512_and_si512(high, two));
        _mm512_sub_epi8(scale, _mm512_set1_epi8(32))
    };
    let scales = [
        six(a, _mm512_slli_epi16::<4>(high)),
        six(b, _mm512_slli_epi16::<2>(high)),
        six(_mm512_srli_epi16::<4>(a), high),
        six(_mm512_srli_epi16::<4>(b), _mm512_srli_epi16::<2>(high)),
    ];
    (scales, d)
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Q3K; 16], out: &mut Unpacked) {
    let high = [0, 1].map(|at| transpose(blocks.map(|block| &block.high.as_chunks().0[at])));
    two_bits(blocks.map(|block| &block.low), out);
    for (run, q) in out.q.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let bit = _mm512_set1_epi8(1_u8.wrapping_shl(run as u32) as i8);
        for (q, &high) in q.iter_mut().zip(high.as_flattened()) {
            *q = _mm512_mask_add_epi8(*q, _mm512_test_epi8_mask(high, bit), *q, _mm512_set1_epi8(4));
        }
    }
    let (scales, halves) = scales_of(blocks);
    (out.scales, out.d) = (narrow_scales(scales), low_halves(halves));
}
