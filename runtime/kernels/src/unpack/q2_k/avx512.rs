//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx512::{Layout, Unpacked, multiply as dot, narrow_scales, scale_pairs, two_bits};
use crate::isa::avx512::{Avx512, halves, transpose};
use blocks::Q2K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Q2K>, x: Per256<'_>, results: &mut Results) {
    dot::<Two, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

struct Two;

impl Layout for Two {
    const OFFSET: i32 = 0;
    const STEPS: usize = 4;
    const NARROW: bool = true;
    const MINIMUMS: usize = 16;
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Q2K; 16], out: &mut Unpacked) {
    two_bits(blocks.map(|block| &block.q), out);
    let four = _mm512_set1_epi8(15);
    let both = transpose(blocks.map(|block| &block.scales));
    out.scales = narrow_scales(both.map(|both| _mm512_and_si512(both, four)));
    out.minimums.min = scale_pairs(both.map(|both| _mm512_and_si512(_mm512_srli_epi16::<4>(both), four)));
    out.d = halves(blocks.map(|block| block.d));
    out.minimums.dmin = halves(blocks.map(|block| block.dmin));
}
