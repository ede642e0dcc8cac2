//! Sums of products in 16 bits, by their scales, and with minimums as floats.

use super::scales::has_minimums;
use crate::activations::Run256;
use crate::isa::avx2::{add_pairs, broadcast_2, broadcast_4, settled};
use core::arch::x86_64::*;

/// A block's products as floats, but for the scale of the activations.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn scaled<const BITS: u32, const GROUP: usize, const SHIFTED: bool>(
    sum: __m256i,
    d: __m256,
    min: &[__m256i; 8],
    dmin: __m256,
    x: &Run256,
) -> __m256 {
    let sum = _mm256_cvtepi32_ps(sum);
    if const { !has_minimums(BITS, SHIFTED) } {
        return _mm256_mul_ps(sum, d);
    }
    let min = if GROUP == 16 {
        with_sums(min, bytemuck::cast_ref(&x.sums))
    } else {
        with_sums(min.first_chunk::<4>().expect("four of eight"), bytemuck::cast_ref(&x.sums_of_32))
    };
    _mm256_fmsub_ps(sum, d, _mm256_mul_ps(_mm256_cvtepi32_ps(min), dmin))
}

/// Adds the products of `N` steps, which have one scale, times that. Shifted weights' begin with `begin`, one for
/// every four steps.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn add_scaled<
    const BITS: u32,
    const SHIFTED: bool,
    const N: usize,
    const BEGIN: usize,
    const G: usize,
    const T: usize,
>(
    mut sums: [[__m256i; T]; G],
    q: [&[__m256i; N]; G],
    a: [&[[i8; 4]; N]; T],
    begin: [&[[i16; 2]; BEGIN]; T],
    scales: [&__m256i; G],
) -> [[__m256i; T]; G] {
    // Steps whose sums fit 16 bits: two products each of at most 2ᴮᴵᵀˢ · 127, of 127 · 127 for signed bytes. Those of
    // shifted weights are half as large when they are whole.
    let steps = const {
        match (128 << SHIFTED as u32) >> BITS {
            0 => 1,
            steps if steps < N => steps,
            _ => N,
        }
    };
    for first in (0..N).step_by(steps) {
        let mut pairs = [[_mm256_setzero_si256(); T]; G];
        if SHIFTED {
            for t in 0..T {
                let mut sum = broadcast_2(&begin[t][0]);
                for pair in &begin[t][1..] {
                    sum = _mm256_add_epi16(sum, broadcast_2(pair));
                }
                let begin = settled(sum);
                for pairs in &mut pairs {
                    pairs[t] = begin;
                }
            }
        }
        if BITS == 8 {
            for t in 0..T {
                let a = broadcast_4(&a[t][first]);
                for g in 0..G {
                    let q = q[g][first];
                    pairs[g][t] = _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(a, q));
                }
            }
        } else if steps == N {
            add_pairs::<SHIFTED, N, G, T>(&mut pairs, q, a);
        } else {
            let at = first / 4;
            add_pairs::<SHIFTED, 4, G, T>(
                &mut pairs,
                q.map(|q| &q.as_chunks().0[at]),
                a.map(|a| &a.as_chunks().0[at]),
            );
        }
        for g in 0..G {
            for t in 0..T {
                let wide = _mm256_madd_epi16(pairs[g][t], *scales[g]);
                sums[g][t] = settled(_mm256_add_epi32(sums[g][t], wide));
            }
        }
    }
    sums
}

/// `Σ min_s · Σa`, two groups a lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn with_sums<const N: usize>(min: &[__m256i; N], sums_of_a: &[[i16; 2]; N]) -> __m256i {
    let mut sum = _mm256_setzero_si256();
    for (min, a) in min.iter().zip(sums_of_a) {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(*min, broadcast_2(a)));
    }
    sum
}
