//! As NEON, but one instruction multiplies four columns of four rows with four numbers of a token and sums them, exact
//! in 32 bits: it takes the numbers from a lane of a vector, so sixteen of a token are one load and nothing is repeated.
//! A block of eight rows with four tokens is 138 instructions, 64 of them products, and none that spills a register.

use super::neon::{GROUPS, Level, TILE_BLOCKS, TILE_TOKENS, Unpacked, tile};
use crate::activations::{Per32, Run32};
use crate::isa::dotprod::{DotProd, dot};
use crate::isa::neon::{load_floats, load_signed, store_floats};
use crate::unpack::{Panel, Results};
use blocks::Block;
use core::arch::aarch64::*;

/// Tokens of a step from a tile: with two groups of rows, eight sums in integers and eight in floats, of 32 registers.
const STEP_TOKENS: usize = 4;

impl Level for DotProd {
    #[inline]
    fn multiply<const STEPS: usize, B: Block>(
        self,
        panel: Panel<'_, B>,
        x: Per32<'_>,
        results: &mut Results,
        unpack: impl Fn([&B; 4]) -> Unpacked,
    ) {
        // SAFETY: the token proves that the features were detected.
        unsafe { multiply(panel, x, results, unpack) }
    }
}

#[inline]
#[target_feature(enable = "neon,dotprod")]
fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 4]) -> Unpacked,
) {
    match results.len() {
        0 => (),
        1 => stream::<1, B>(panel, x, results, unpack),
        2 => stream::<2, B>(panel, x, results, unpack),
        3 => stream::<3, B>(panel, x, results, unpack),
        n if n < TILE_TOKENS => stream::<4, B>(panel, x, results, unpack),
        _ => tile(panel, x, results, STEP_TOKENS, unpack, |tile, x, results| match results.len() {
            1 => step_of::<1>(tile, x, results),
            2 => step_of::<2>(tile, x, results),
            3 => step_of::<3>(tile, x, results),
            _ => step_of::<STEP_TOKENS>(tile, x, results),
        }),
    }
}

/// Few tokens: weights go from the file through registers, while the rows that come next are fetched.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn stream<const T: usize, B: Block>(
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 4]) -> Unpacked,
) {
    for group in 0..panel.n_rows().div_ceil(4) {
        let rows = panel.group::<4>(4 * group);
        let mut ahead = panel.ahead::<4>(4 * (group + 1), 4);
        let mut acc = [[vdupq_n_f32(0.0); T]; 1];
        for (acc, results) in acc[0].iter_mut().zip(&*results) {
            *acc = load_floats(&results.as_chunks().0[group]);
        }
        for b in 0..x.n_cols() / 32 {
            ahead.used(4 * size_of::<B>());
            let w = unpack(rows.blocks(b));
            add_block::<1, T>(&mut acc, [&w], x.at(b / TILE_BLOCKS), b % TILE_BLOCKS);
        }
        for (t, results) in results.iter_mut().enumerate() {
            store_floats(&mut results.as_chunks_mut().0[group], acc[0][t]);
        }
    }
}

/// All rows of a tile with a few tokens.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn step_of<const T: usize>(tile: &[[Unpacked; GROUPS]], x: &[Run32], results: &mut Results) {
    for pair in 0..GROUPS / 2 {
        let mut acc = [[vdupq_n_f32(0.0); T]; 2];
        for (t, results) in results.iter().enumerate().take(T) {
            let results = results.as_chunks().0;
            (acc[0][t], acc[1][t]) = (load_floats(&results[2 * pair]), load_floats(&results[2 * pair + 1]));
        }
        for (b, tile) in tile.iter().enumerate() {
            let w = [&tile[2 * pair], &tile[2 * pair + 1]];
            add_block::<2, T>(&mut acc, w, x, b);
        }
        for (t, results) in results.iter_mut().enumerate().take(T) {
            let results = results.as_chunks_mut().0;
            store_floats(&mut results[2 * pair], acc[0][t]);
            store_floats(&mut results[2 * pair + 1], acc[1][t]);
        }
    }
}

/// Adds the products of the runs' block `b` to the sums of `G` groups of rows with `T` tokens.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_block<const G: usize, const T: usize>(
    acc: &mut [[float32x4_t; T]; G],
    w: [&Unpacked; G],
    x: &[Run32],
    b: usize,
) {
    let x: &[Run32; T] = x.first_chunk().expect("a step's tokens");
    let mut sums = [[vdupq_n_s32(0); T]; G];
    for half in 0..2 {
        let mut a = [vdupq_n_s8(0); T];
        for t in 0..T {
            a[t] = load_signed(&x[t].q[b].as_chunks().0[half]);
        }
        for g in 0..G {
            let [q0, q1, q2, q3] = w[g].q.as_chunks().0[half];
            for t in 0..T {
                let sum = dot::<1>(dot::<0>(sums[g][t], q0, a[t]), q1, a[t]);
                sums[g][t] = dot::<3>(dot::<2>(sum, q2, a[t]), q3, a[t]);
            }
        }
    }
    for g in 0..G {
        for t in 0..T {
            let scale = vmulq_n_f32(w[g].d, x[t].d[b]);
            acc[g][t] = vfmaq_f32(acc[g][t], vcvtq_f32_s32(sums[g][t]), scale);
        }
        if let Some(m) = w[g].m {
            for t in 0..T {
                acc[g][t] = vfmaq_n_f32(acc[g][t], m, x[t].s[b]);
            }
        }
    }
}
