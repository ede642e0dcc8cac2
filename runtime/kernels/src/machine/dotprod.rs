//! See the parent's `int8_peak`: `rounds` steps of twelve chains; the number of products is returned.

use super::neon::Level;
use crate::isa::dotprod::{DotProd, dot};
use core::arch::aarch64::*;
use std::hint::black_box;

impl Level for DotProd {
    fn chains(self, rounds: usize) -> usize {
        // SAFETY: the token proves that the features were detected.
        unsafe { multiply(rounds) }
    }
}

#[target_feature(enable = "neon,dotprod")]
fn multiply(rounds: usize) -> usize {
    let (mut sums, x) = ([vdupq_n_s32(0); 12], vdupq_n_s8(black_box(3)));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = dot::<0>(*sum, x, x);
        }
    }
    black_box(sums);
    rounds * 12 * 16
}
