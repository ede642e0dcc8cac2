//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx512::{Layout, Unpacked, multiply as dot, narrow_scales, two_bits};
use crate::isa::avx512::{Avx512, low_halves, transpose, transpose_from};
use blocks::Q3K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Q3K>, x: Per256<'_>, results: &mut Results) {
    dot::<Three, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

struct Three;

impl Layout for Three {
    const OFFSET: i32 = 4;
    const STEPS: usize = 4;
    const NARROW: bool = true;
    const MINIMUMS: usize = 0;
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
    // The block's last sixteen bytes: two of weights, then twelve of scales and the scale of these.
    let [a, b, high, d] =
        transpose_from::<2>(blocks.map(|block| bytemuck::bytes_of(block).last_chunk().expect("110 bytes")));
    let (four, two) = (_mm512_set1_epi8(15), _mm512_set1_epi8(0x30));
    let six = |low, high| {
        let scale = _mm512_or_si512(_mm512_and_si512(low, four), _mm512_and_si512(high, two));
        _mm512_sub_epi8(scale, _mm512_set1_epi8(32))
    };
    out.scales = narrow_scales([
        six(a, _mm512_slli_epi16::<4>(high)),
        six(b, _mm512_slli_epi16::<2>(high)),
        six(_mm512_srli_epi16::<4>(a), high),
        six(_mm512_srli_epi16::<4>(b), _mm512_srli_epi16::<2>(high)),
    ]);
    out.d = low_halves(d);
}
