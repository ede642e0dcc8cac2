//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx512::alone::{self, Beside, Row};
use crate::dot::per_256::avx512::{Layout, Minimums, Unpacked, by_halves, multiply as dot, narrow_scales};
use crate::isa::avx512::{Avx512, high_halves, load_32, load_64, nibbles, tails, transpose};
use blocks::Q6K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Q6K>, x: Per256<'_>, results: &mut Results) {
    if let [alone] = results {
        return alone::multiply::<Six, _>(
            panel,
            x,
            alone,
            |block| columns(block),
            |blocks, scales| {
                for (scales, block) in scales.as_chunks_mut::<16>().0.iter_mut().zip(blocks) {
                    *scales = bytemuck::cast(block.scales);
                }
                Beside { d: high_halves(tails(blocks)), minimums: Minimums::none() }
            },
        );
    }
    dot::<Six, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

struct Six;

impl Layout for Six {
    const OFFSET: i32 = 32;
    const STEPS: usize = 2;
    const NARROW: bool = true;
    const MINIMUMS: usize = 0;
}

impl Row for Six {
    const GROUP: usize = 16;
}

/// The weights of a block, sixty-four after sixty-four.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn columns(block: &Q6K) -> [__m512i; 4] {
    let (four_bits, two_bits) = (_mm512_set1_epi8(0x0f), _mm512_set1_epi8(0x30));
    let half = |at: usize| {
        let low = load_64(&block.low.as_chunks().0[at]);
        // Two bits for each of four runs of 32 columns, of which the first two meet low nibbles, the others high ones.
        let high = _mm512_broadcast_i64x4(load_32(&block.high.as_chunks().0[at]));
        let left = _mm512_sllv_epi16(high, by_halves(4, 2));
        let right = _mm512_srlv_epi16(high, by_halves(0, 2));
        let with =
            |low, high| _mm512_or_si512(_mm512_and_si512(low, four_bits), _mm512_and_si512(high, two_bits));
        [with(low, left), with(_mm512_srli_epi16::<4>(low), right)]
    };
    let ([a, b], [c, d]) = (half(0), half(1));
    [a, b, c, d]
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Q6K; 16], out: &mut Unpacked) {
    let two_bits = _mm512_set1_epi8(0x30);
    // Bytes i … i + 15 of the low and high bits of a half: four runs of sixteen weights, 32 apart.
    for (half, q) in out.q.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for i in 0..2 {
            let low = |at: usize| blocks.map(|block| &block.low.as_chunks::<16>().0[4 * half + 2 * at + i]);
            let [first, second] = [0, 1].map(|at| nibbles(transpose(low(at))));
            let high = transpose(blocks.map(|block| &block.high.as_chunks::<16>().0[2 * half + i]));
            for j in 0..4 {
                let h = high[j];
                let at = |high| _mm512_and_si512(high, two_bits);
                q[4 * i + j] = _mm512_or_si512(first[j], at(_mm512_slli_epi16::<4>(h)));
                q[4 * i + j + 8] = _mm512_or_si512(second[j], at(_mm512_slli_epi16::<2>(h)));
                q[4 * i + j + 16] = _mm512_or_si512(first[j + 4], at(h));
                q[4 * i + j + 24] = _mm512_or_si512(second[j + 4], at(_mm512_srli_epi16::<2>(h)));
            }
        }
    }
    let scales = transpose(blocks.map(|block| bytemuck::cast_ref(&block.scales)));
    out.scales = narrow_scales(scales);
    out.d = high_halves(tails(blocks));
}
