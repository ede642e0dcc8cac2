//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx512::{Layout, Unpacked, multiply as dot};
use crate::isa::avx512::{Avx512, levels, low_halves, nibbles, transpose, unsigned};
use blocks::{IQ4_LEVELS, Iq4Xs};
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Iq4Xs>, x: Per256<'_>, results: &mut Results) {
    dot::<Levels, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

struct Levels;

impl Layout for Levels {
    const OFFSET: i32 = 128;
    const STEPS: usize = 8;
    const NARROW: bool = false;
    const MINIMUMS: usize = 0;
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Iq4Xs; 16], out: &mut Unpacked) {
    for (at, q) in out.q.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let levels = levels(nibbles(transpose(blocks.map(|block| &block.q.as_chunks().0[at]))), &IQ4_LEVELS);
        *q = unsigned(levels);
    }
    // The scale of scales and two bits of each of these in a lane, four of each in the next.
    let [first, low, ..] =
        transpose(blocks.map(|block| bytemuck::bytes_of(block).first_chunk().expect("136 bytes")));
    let mut high = _mm512_srli_epi32::<12>(first);
    let mut low = low;
    for scales in out.scales.as_chunks_mut::<2>().0 {
        let four = _mm512_and_si512(low, _mm512_set1_epi32(15));
        let scale = _mm512_or_si512(four, _mm512_and_si512(high, _mm512_set1_epi32(0x30)));
        *scales = [_mm512_sub_epi32(scale, _mm512_set1_epi32(32)); 2];
        (low, high) = (_mm512_srli_epi32::<4>(low), _mm512_srli_epi32::<2>(high));
    }
    out.d = low_halves(first);
}
