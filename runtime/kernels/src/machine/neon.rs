//! See [`super::int8_peak`] and [`super::f32_peak`]: `rounds` steps of twelve chains; the number of products is returned.

use crate::isa::neon::Neon;
use core::arch::aarch64::*;
use std::hint::black_box;

/// A level of Arm, by the instruction that its products are made of.
pub(super) trait Level {
    fn chains(self, rounds: usize) -> usize;
}

#[target_feature(enable = "neon")]
pub(super) fn chains(level: impl Level, rounds: usize) -> usize {
    level.chains(rounds)
}

impl Level for Neon {
    fn chains(self, rounds: usize) -> usize {
        // SAFETY: the token proves that the feature was detected.
        unsafe { multiply(rounds) }
    }
}

#[target_feature(enable = "neon")]
fn multiply(rounds: usize) -> usize {
    let (mut sums, x) = ([vdupq_n_s16(1); 12], vdup_n_s8(black_box(3)));
    for _ in 0..rounds {
        for sum in &mut sums {
            // What is multiplied comes from the sum: a product that never changed would leave the loop.
            *sum = vmlal_s8(*sum, vmovn_s16(*sum), x);
        }
    }
    black_box(sums);
    rounds * 12 * 8
}

#[target_feature(enable = "neon")]
pub(super) fn f32_chains(_: impl Copy, rounds: usize) -> usize {
    let (mut sums, x) = ([vdupq_n_f32(0.0); 12], vdupq_n_f32(black_box(0.5)));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = vfmaq_f32(x, *sum, x);
        }
    }
    black_box(sums);
    rounds * 12 * 4
}
