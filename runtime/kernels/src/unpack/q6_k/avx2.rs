//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, Out, Scales, multiply as dot};
use crate::isa::avx2::{Level, halves, transpose};
use blocks::Q6K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(_: impl Level, panel: Panel<'_, Q6K>, x: Per256<'_>, results: &mut Results) {
    product(panel, x, results);
}

#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn product(panel: Panel<'_, Q6K>, x: Per256<'_>, results: &mut Results) {
    dot::<6, 16, true, _>(
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
fn scales(blocks: [&Q6K; 8]) -> Scales {
    let scales = transpose(blocks.map(|block| bytemuck::cast_ref(&block.scales)));
    Scales { scales, d: halves(blocks.map(|block| block.d)), minimums: Minimums::none() }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<const ALONE: bool>(blocks: [&Q6K; 8], out: &mut Out<'_, 6, 16, true, ALONE>) {
    quarter::<0, 0, ALONE>(blocks, out);
    quarter::<0, 1, ALONE>(blocks, out);
    quarter::<1, 0, ALONE>(blocks, out);
    quarter::<1, 1, ALONE>(blocks, out);
}

/// Bytes `16I … 16I + 15` of the low and high bits of a half: four runs of sixteen weights, 32 apart.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn quarter<const HALF: usize, const I: usize, const ALONE: bool>(
    blocks: [&Q6K; 8],
    out: &mut Out<'_, 6, 16, true, ALONE>,
) {
    let low =
        |at: usize| transpose(blocks.map(|block| &block.low.as_chunks::<16>().0[4 * HALF + 2 * at + I]));
    let high = transpose(blocks.map(|block| &block.high.as_chunks::<16>().0[2 * HALF + I]));
    let mut put = |at: usize, low: [__m256i; 4], high: [__m256i; 4]| {
        let mut q = low;
        for (q, high) in q.iter_mut().zip(high) {
            let four = _mm256_and_si256(*q, _mm256_set1_epi8(0x0f));
            *q = _mm256_or_si256(four, _mm256_and_si256(high, _mm256_set1_epi8(0x30)));
        }
        out.put(8 * HALF + I + at, q);
    };
    let right = |x: [__m256i; 4]| x.map(|x| _mm256_srli_epi16::<4>(x));
    let first = low(0);
    put(0, first, high.map(|x| _mm256_slli_epi16::<4>(x)));
    put(4, right(first), high);
    let second = low(1);
    put(2, second, high.map(|x| _mm256_slli_epi16::<2>(x)));
    put(6, right(second), high.map(|x| _mm256_srli_epi16::<2>(x)));
}
