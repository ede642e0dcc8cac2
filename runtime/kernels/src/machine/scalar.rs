//! See [`super::int8_peak`]: `rounds` steps of twelve chains; the number of products is returned.

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
