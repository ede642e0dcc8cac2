//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, OFFSET, Out, Scales, TIMES, evened, multiply as dot, two_bits};
use crate::isa::avx2::{Level, low_halves, transpose, transpose_from};
use blocks::Q3K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(_: impl Level, panel: Panel<'_, Q3K>, x: Per256<'_>, results: &mut Results) {
    product(panel, x, results);
}

#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn product(panel: Panel<'_, Q3K>, x: Per256<'_>, results: &mut Results) {
    dot::<5, 16, true, _>(
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
fn unpack<const ALONE: bool>(blocks: [&Q3K; 8], out: &mut Out<'_, 5, 16, true, ALONE>) {
    let high = [0, 1].map(|at| transpose(blocks.map(|block| &block.high.as_chunks().0[at])));
    two_bits(blocks.map(|block| &block.low), out, |at, times, mut q| {
        let bit = _mm256_set1_epi8(1_u8.wrapping_shl(at as u32 / 2) as i8);
        for (q, &high) in q.iter_mut().zip(&high[at % 2]) {
            let set = _mm256_cmpeq_epi8(_mm256_and_si256(high, bit), bit);
            // The third bit is worth 4, and 4 are taken away.
            let [with, without] = [OFFSET, OFFSET - 4 * times].map(|offset| _mm256_set1_epi8(offset as i8));
            *q = _mm256_or_si256(*q, _mm256_blendv_epi8(without, with, set));
        }
        q
    });
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(blocks: [&Q3K; 8]) -> Scales {
    // The block's last sixteen bytes: two of weights, then twelve of scales and the scale of these.
    let [a, b, high, d] =
        transpose_from::<2>(blocks.map(|block| bytemuck::bytes_of(block).last_chunk().expect("110 bytes")));
    let (four, two) = (_mm256_set1_epi8(15), _mm256_set1_epi8(0x30));
    let six = |low, high| {
        let scale = _mm256_or_si256(_mm256_and_si256(low, four), _mm256_and_si256(high, two));
        _mm256_sub_epi8(scale, _mm256_set1_epi8(32))
    };
    let scales = evened([
        six(a, _mm256_slli_epi16::<4>(high)),
        six(b, _mm256_slli_epi16::<2>(high)),
        six(_mm256_srli_epi16::<4>(a), high),
        six(_mm256_srli_epi16::<4>(b), _mm256_srli_epi16::<2>(high)),
    ]);
    let d = _mm256_mul_ps(low_halves(d), _mm256_set1_ps(1.0 / f32::from(TIMES[1])));
    Scales { scales, d, minimums: Minimums::none() }
}
