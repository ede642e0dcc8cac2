//! See [`super::int8_peak`] and [`super::f32_peak`]: `rounds` steps of twelve chains; the number of products is returned.

use std::hint::black_box;

pub(super) fn chains(rounds: usize) -> usize {
    let (mut sums, x) = ([1i32; 12], black_box(3i8));
    for _ in 0..rounds {
        // What is multiplied comes from the sum: a product that never changed would leave the loop.
        sums = sums.map(|sum| sum.wrapping_add(i32::from(sum as i8) * i32::from(x)));
    }
    black_box(sums);
    rounds * 12
}

pub(super) fn f32_chains(rounds: usize) -> usize {
    let (mut sums, x) = ([0.0f32; 12], black_box(0.5f32));
    for _ in 0..rounds {
        sums = sums.map(|sum| sum.mul_add(x, x));
    }
    black_box(sums);
    rounds * 12
}
