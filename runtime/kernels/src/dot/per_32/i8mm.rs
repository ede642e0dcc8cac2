//! One instruction multiplies eight columns of two rows with two tokens: twice the products of
//! [`dotprod`](super::dotprod), which serves where tokens are too few for a tile. The tile is as there, but eight columns
//! of two rows are a vector; tokens are turned in pairs likewise, once for all rows of the tile. Sums are two rows' with
//! two tokens until their block ends, and then turned back: a row a lane. A block of eight rows with four tokens is 115
//! instructions, 32 of them products, where `dotprod` takes 138.

use super::neon::{GROUPS, Level, TILE_BLOCKS, TILE_TOKENS, Unpacked, tile};
use crate::activations::{Per32, Run32};
use crate::isa::i8mm::{I8mm, by_token, products, rows_of_eight, tokens_of_eight};
use crate::isa::neon::{load_floats, load_signed, store_floats};
use crate::unpack::{Panel, Results};
use blocks::Block;
use core::arch::aarch64::*;

/// Pairs of tokens of a step: with two groups of rows, eight sums in integers and eight in floats, of 32 registers.
const STEP_PAIRS: usize = 2;

impl Level for I8mm {
    #[inline]
    fn multiply<const STEPS: usize, B: Block>(
        self,
        panel: Panel<'_, B>,
        x: Per32<'_>,
        results: &mut Results,
        unpack: impl Fn([&B; 4]) -> Unpacked,
    ) {
        if results.len() < TILE_TOKENS {
            self.dotprod().multiply::<STEPS, B>(panel, x, results, unpack);
        } else {
            // SAFETY: the token proves that the features were detected.
            unsafe { multiply(panel, x, results, unpack) }
        }
    }
}

#[inline]
#[target_feature(enable = "neon,i8mm")]
fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 4]) -> Unpacked,
) {
    let turned = |blocks: [&B; 4]| {
        let mut w = unpack(blocks);
        for pair in w.q.as_chunks_mut().0 {
            *pair = rows_of_eight(*pair);
        }
        w
    };
    tile(panel, x, results, 2 * STEP_PAIRS, turned, |tile, x, results| match results.len() {
        1 | 2 => step_of::<1>(tile, x, results),
        _ => step_of::<STEP_PAIRS>(tile, x, results),
    });
}

/// All rows of a tile with up to `P` pairs of tokens; a token without a partner is its own.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn step_of<const P: usize>(tile: &[[Unpacked; GROUPS]], x: &[Run32], results: &mut Results) {
    let last = results.len() - 1;
    let tokens: [[usize; 2]; P] = std::array::from_fn(|p| [2 * p, (2 * p + 1).min(last)]);
    let x = tokens.map(|pair| pair.map(|token| &x[token]));
    let mut a = [[[vdupq_n_s8(0); P]; 4]; TILE_BLOCKS];
    for (b, a) in a.iter_mut().enumerate().take(tile.len()) {
        for (p, x) in x.iter().enumerate() {
            for (half, a) in a.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                [a[0][p], a[1][p]] = tokens_of_eight(x.map(|x| load_signed(&x.q[b].as_chunks().0[half])));
            }
        }
    }
    for first in (0..GROUPS).step_by(2) {
        let mut acc = [[[vdupq_n_f32(0.0); 2]; P]; 2];
        for (g, acc) in acc.iter_mut().enumerate() {
            *acc = tokens.map(|pair| pair.map(|t| load_floats(&results[t].as_chunks().0[first + g])));
        }
        for (b, (tile, a)) in tile.iter().zip(&a).enumerate() {
            add_block::<P>(&mut acc, [&tile[first], &tile[first + 1]], a, x, b);
        }
        for (g, acc) in acc.iter().enumerate() {
            for (tokens, acc) in tokens.iter().zip(acc) {
                for (&t, &acc) in tokens.iter().zip(acc) {
                    store_floats(&mut results[t].as_chunks_mut().0[first + g], acc);
                }
            }
        }
    }
}

/// Adds the products of the runs' block `b` to the sums of two groups of rows with `P` pairs of tokens.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn add_block<const P: usize>(
    acc: &mut [[[float32x4_t; 2]; P]; 2],
    w: [&Unpacked; 2],
    a: &[[int8x16_t; P]; 4],
    x: [[&Run32; 2]; P],
    b: usize,
) {
    let mut sums = [[[vdupq_n_s32(0); 2]; P]; 2];
    for (eight, a) in a.iter().enumerate() {
        for g in 0..2 {
            let [first, others] = w[g].q.as_chunks().0[eight];
            for p in 0..P {
                sums[g][p][0] = products(sums[g][p][0], first, a[p]);
                sums[g][p][1] = products(sums[g][p][1], others, a[p]);
            }
        }
    }
    for g in 0..2 {
        for p in 0..P {
            for (t, sums) in by_token(sums[g][p]).into_iter().enumerate() {
                let scale = vmulq_n_f32(w[g].d, x[p][t].d[b]);
                acc[g][p][t] = vfmaq_f32(acc[g][p][t], vcvtq_f32_s32(sums), scale);
            }
        }
        if let Some(m) = w[g].m {
            for p in 0..P {
                for t in 0..2 {
                    acc[g][p][t] = vfmaq_n_f32(acc[g][p][t], m, x[p][t].s[b]);
                }
            }
        }
    }
}
