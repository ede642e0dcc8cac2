//! See [`super::int8_peak`] and [`super::f32_peak`]: `rounds` steps of twelve chains; the number of products is returned.

use crate::isa::avx2::Level;
use core::arch::x86_64::*;
use std::hint::black_box;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn chains(level: impl Level, rounds: usize) -> usize {
    let (mut sums, x) = ([_mm256_set1_epi8(1); 12], _mm256_set1_epi8(black_box(3)));
    for _ in 0..rounds {
        for sum in &mut sums {
            // What is multiplied comes from the sum: a product that never changed would leave the loop.
            *sum = match level.dots() {
                Some(dots) => dots.add_products_of_8(*sum, x, x),
                None => _mm256_add_epi16(*sum, _mm256_maddubs_epi16(*sum, x)),
            };
        }
    }
    black_box(sums);
    rounds * 12 * 32
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn f32_chains(_: impl Copy, rounds: usize) -> usize {
    let (mut sums, x) = ([_mm256_setzero_ps(); 12], _mm256_set1_ps(black_box(0.5)));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, x, x);
        }
    }
    black_box(sums);
    rounds * 12 * 8
}
