//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx512::alone::{self, Beside, Row, ScaleBytes};
use crate::dot::per_256::avx512::{
    Layout, Minimums, Unpacked, multiply as dot, narrow_scales, scale_pairs, two_bits, two_bits_in_order,
};
use crate::isa::avx2::{load_16, store_16};
use crate::isa::avx512::{Avx512, high_halves, low_halves, tails, transpose};
use blocks::Q2K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Q2K>, x: Per256<'_>, results: &mut Results) {
    if let [alone] = results {
        return alone::multiply::<Two, _>(
            panel,
            x,
            alone,
            |block| two_bits_in_order(&block.q),
            |blocks, scales| beside(blocks, scales),
        );
    }
    dot::<Two, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

struct Two;

impl Layout for Two {
    const OFFSET: i32 = 0;
    const STEPS: usize = 4;
    const NARROW: bool = true;
    const MINIMUMS: usize = 16;
}

impl Row for Two {
    const GROUP: usize = 16;
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn beside(blocks: [&Q2K; 16], scales: &mut ScaleBytes) -> Beside {
    for (scales, block) in scales.as_chunks_mut().0.iter_mut().zip(blocks) {
        store_16(scales, _mm_and_si128(load_16(&block.scales), _mm_set1_epi8(15)));
    }
    let (both, tails) = (transpose(blocks.map(|block| &block.scales)), tails(blocks));
    Beside {
        d: low_halves(tails),
        minimums: Minimums { dmin: high_halves(tails), min: min_of(both), ..Minimums::none() },
    }
}

/// From both nibbles of a scale: the minimums.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn min_of(both: [__m512i; 4]) -> [__m512i; 8] {
    scale_pairs(both.map(|both| _mm512_and_si512(_mm512_srli_epi16::<4>(both), _mm512_set1_epi8(15))))
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Q2K; 16], out: &mut Unpacked) {
    two_bits(blocks.map(|block| &block.q), out);
    let four = _mm512_set1_epi8(15);
    let both = transpose(blocks.map(|block| &block.scales));
    out.scales = narrow_scales(both.map(|both| _mm512_and_si512(both, four)));
    out.minimums.min = min_of(both);
    let tails = tails(blocks);
    (out.d, out.minimums.dmin) = (low_halves(tails), high_halves(tails));
}
