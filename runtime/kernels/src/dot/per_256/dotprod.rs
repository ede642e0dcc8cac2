//! As NEON, but one instruction multiplies four columns of four rows with four numbers of a token and sums them, exact
//! in 32 bits, so that only the scale's own multiplication is left beside it. Two groups of rows are in flight.
//! With four tokens, 32 columns under one scale are 106 instructions, 64 of them products; 16 columns are 67, and 32.

use super::neon::{Level, STEP_TOKENS, Unpacked, finish, in_groups};
use crate::activations::{Per256, Run256};
use crate::isa::dotprod::{DotProd, dot};
use crate::isa::neon::load_signed;
use crate::unpack::{Panel, Results};
use blocks::Block;
use core::arch::aarch64::*;

/// Groups of four rows at a time: with four tokens, eight sums of a scale's weights and eight of a block, of 32 registers.
const GROUPS: usize = 2;

impl Level for DotProd {
    #[inline]
    fn multiply<const STEPS: usize, B: Block>(
        self,
        panel: Panel<'_, B>,
        x: Per256<'_>,
        results: &mut Results,
        unpack: impl Fn([&B; 4], &mut Unpacked),
    ) {
        // SAFETY: the token proves that the features were detected.
        unsafe { multiply::<STEPS, B>(panel, x, results, unpack) }
    }
}

#[inline]
#[target_feature(enable = "neon,dotprod")]
fn multiply<const STEPS: usize, B: Block>(
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 4], &mut Unpacked),
) {
    in_groups::<GROUPS, B>(panel, x, results, unpack, |w, x, group, results| match results.len() {
        1 => add_block::<STEPS, 1>(w, x, group, results),
        2 => add_block::<STEPS, 2>(w, x, group, results),
        3 => add_block::<STEPS, 3>(w, x, group, results),
        _ => add_block::<STEPS, STEP_TOKENS>(w, x, group, results),
    });
}

/// Adds a block's products with `T` tokens to the results of the groups of rows from `group` on.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_block<const STEPS: usize, const T: usize>(
    w: &[Unpacked; GROUPS],
    x: &[Run256],
    group: usize,
    results: &mut Results,
) {
    let x: &[Run256; T] = x.first_chunk().expect("a step's tokens");
    // Sixteens that share a scale.
    let n = if STEPS == 8 { 2 } else { 1 };
    let mut sums = [[vdupq_n_s32(0); T]; GROUPS];
    for first in (0..16).step_by(n) {
        let mut parts = [[vdupq_n_s32(0); T]; GROUPS];
        for sixteen in first..first + n {
            let mut a = [vdupq_n_s8(0); T];
            for t in 0..T {
                a[t] = load_signed(&x[t].q[sixteen]);
            }
            for g in 0..GROUPS {
                let [q0, q1, q2, q3] = w[g].q.as_chunks().0[sixteen];
                for t in 0..T {
                    let part = dot::<1>(dot::<0>(parts[g][t], q0, a[t]), q1, a[t]);
                    parts[g][t] = dot::<3>(dot::<2>(part, q2, a[t]), q3, a[t]);
                }
            }
        }
        for g in 0..GROUPS {
            for t in 0..T {
                sums[g][t] = vmlaq_s32(sums[g][t], parts[g][t], w[g].scales[first]);
            }
        }
    }
    for (t, results) in results.iter_mut().enumerate().take(T) {
        for (g, results) in results.as_chunks_mut().0[group..].iter_mut().enumerate().take(GROUPS) {
            finish::<STEPS>(&w[g], sums[g][t], &x[t], results);
        }
    }
}
