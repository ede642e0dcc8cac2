//! Integer products of a block: by dot products of bytes where there are any, else in 16 bits as long as they fit.

use super::Taken;
use crate::activations::Run32;
use crate::isa::avx_vnni::Dots;
use crate::isa::avx2::{Level, add_pairs, broadcast_2, broadcast_4, load_16, settled, store_32};
use core::arch::x86_64::*;

/// Products of block `b` of `G` groups of rows with `T` tokens.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn products<const BITS: u32, const OFFSET: i32, const G: usize, const T: usize>(
    level: impl Level,
    q: [&[__m256i; 8]; G],
    x: &[Run32; T],
    b: usize,
) -> [[__m256i; T]; G] {
    match level.dots() {
        Some(dots) if BITS == 8 => in_32_bits::<128, G, T>(dots, q, x, b),
        Some(dots) => in_32_bits::<OFFSET, G, T>(dots, q, x, b),
        None if BITS == 8 => of_signed(q, x, b),
        None => in_16_bits::<BITS, OFFSET, G, T>(q, x, b),
    }
}

/// A block of each token as kernels take it: four columns a step.
#[inline(always)]
fn steps<const T: usize>(x: &[Run32; T], b: usize) -> [&[[i8; 4]; 8]; T] {
    x.each_ref().map(|x| bytemuck::cast_ref(&x.q[b]))
}

/// By dot products of bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn in_32_bits<const OFFSET: i32, const G: usize, const T: usize>(
    dots: Dots<impl Level>,
    q: [&[__m256i; 8]; G],
    x: &[Run32; T],
    b: usize,
) -> [[__m256i; T]; G] {
    let (a, mut sums) = (steps(x, b), [[_mm256_setzero_si256(); T]; G]);
    if OFFSET != 0 {
        for t in 0..T {
            // Settled, or the compiler multiplies before it broadcasts, in a register that is none of a vector's.
            let sum = settled(_mm256_set1_epi32(x[t].sums[b]));
            for sums in &mut sums {
                sums[t] = _mm256_mullo_epi32(sum, _mm256_set1_epi32(-OFFSET));
            }
        }
    }
    for j in 0..8 {
        for t in 0..T {
            let a = broadcast_4(&a[t][j]);
            for g in 0..G {
                sums[g][t] = dots.add_products_of_8(sums[g][t], q[g][j], a);
            }
        }
    }
    sums
}

/// Of up to five bits: summed in 16 bits first. What an offset adds to a sum of eight steps it begins with, negative
/// ([`Run32::offsets`]): 16 bits that overflow on the way come back, and hold what weights of −16 … 15 give
/// (8 · 2 · 16 · 127 = 32 512).
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn in_16_bits<const BITS: u32, const OFFSET: i32, const G: usize, const T: usize>(
    q: [&[__m256i; 8]; G],
    x: &[Run32; T],
    b: usize,
) -> [[__m256i; T]; G] {
    const { assert!(OFFSET % 8 == 0 && OFFSET <= 16, "what offsets are multiples of, and what 16 bits hold") };
    // Without an offset, two products each of at most 2ᴮᴵᵀˢ · 127.
    let steps_that_fit = const { if OFFSET == 0 { 128 >> BITS } else { 8 } };
    let (a, mut sums) = (steps(x, b), [[_mm256_setzero_si256(); T]; G]);
    for first in (0..8).step_by(steps_that_fit) {
        let mut pairs = [[_mm256_setzero_si256(); T]; G];
        if OFFSET != 0 {
            for t in 0..T {
                let by_8 = settled(broadcast_2(&x[t].offsets[b]));
                for pairs in &mut pairs {
                    pairs[t] = _mm256_mullo_epi16(by_8, _mm256_set1_epi16(OFFSET as i16 / 8));
                }
            }
        }
        if steps_that_fit == 8 {
            if OFFSET == 0 {
                add_pairs::<false, 8, G, T>(&mut pairs, q, a);
            } else {
                add_pairs::<true, 8, G, T>(&mut pairs, q, a);
            }
        } else {
            let at = first / 4;
            add_pairs::<false, 4, G, T>(
                &mut pairs,
                q.map(|q| &q.as_chunks().0[at]),
                a.map(|a| &a.as_chunks().0[at]),
            );
        }
        for t in 0..T {
            for g in 0..G {
                let wide = _mm256_madd_epi16(pairs[g][t], _mm256_set1_epi16(1));
                sums[g][t] = settled(_mm256_add_epi32(sums[g][t], wide));
            }
        }
    }
    sums
}

/// Of signed bytes, of which two products fit 16 bits (2 · 128 · 127): from registers less work than to widen them.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn of_signed<const G: usize, const T: usize>(
    q: [&[__m256i; 8]; G],
    x: &[Run32; T],
    b: usize,
) -> [[__m256i; T]; G] {
    let (a, mut sums) = (steps(x, b), [[_mm256_setzero_si256(); T]; G]);
    for j in 0..8 {
        for t in 0..T {
            let a = broadcast_4(&a[t][j]);
            for g in 0..G {
                let products = _mm256_maddubs_epi16(_mm256_abs_epi8(q[g][j]), _mm256_sign_epi8(a, q[g][j]));
                let wide = _mm256_madd_epi16(products, _mm256_set1_epi16(1));
                sums[g][t] = _mm256_add_epi32(sums[g][t], wide);
            }
        }
    }
    sums
}

/// A run's activations in 16 bits, four columns a step as two pairs.
pub(super) type Wide = [[[[i16; 2]; 2]; 8]; 8];

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn widen(x: &Run32, wide: &mut Wide) {
    let wide: &mut [[u8; 32]; 16] = bytemuck::cast_mut(wide);
    for (wide, q) in wide.iter_mut().zip(bytemuck::cast_ref::<_, [[u8; 16]; 16]>(&x.q)) {
        store_32(wide, _mm256_cvtepi8_epi16(load_16(q)));
    }
}

/// Of weights and activations in 16 bits: two instructions for sixteen products, where bytes want four for 32, the more so as
/// sums in 16 bits hold only those of four bits of a weight.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn of_wide<const G: usize, const T: usize>(
    w: [&Taken; G],
    x: &[Wide; T],
    b: usize,
) -> [[__m256i; T]; G] {
    let (a, mut sums) = (x.each_ref().map(|x| &x[b]), [[_mm256_setzero_si256(); T]; G]);
    for j in 0..8 {
        for (half, q) in [w.map(|w| &w.q[j]), w.map(|w| &w.rest[j])].into_iter().enumerate() {
            for t in 0..T {
                let a = broadcast_2(&a[t][j][half]);
                for g in 0..G {
                    sums[g][t] = settled(_mm256_add_epi32(sums[g][t], _mm256_madd_epi16(*q[g], a)));
                }
            }
        }
    }
    sums
}
