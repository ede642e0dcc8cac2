//! One instruction multiplies eight columns of two rows with two tokens: twice the products of
//! [`dotprod`](super::dotprod), which serves where tokens are few. A panel is unpacked into a tile whose vectors are
//! eight columns of two rows; tokens are turned in pairs likewise, once for all rows of the tile. Sums are two rows' with
//! two tokens until their block ends, and then turned back: a row a lane. With eight rows and four tokens, 32 columns
//! under one scale are 76 instructions, 32 of them products; 16 columns are 51, and 16.

use super::neon::{Level, Unpacked, finish, nothing};
use crate::activations::{Per256, Run256};
use crate::isa::i8mm::{I8mm, by_token, products, rows_of_eight, tokens_of_eight};
use crate::isa::neon::load_signed;
use crate::unpack::{Panel, Results};
use blocks::Block;
use core::arch::aarch64::*;

/// A block of four rows, turned.
#[derive(Clone, Copy)]
struct Turned {
    /// Its weights are turned in place.
    w: Unpacked,
    /// Scales of the first two rows, each twice, and of the others.
    scales: [[int32x4_t; 2]; 16],
}

/// Groups of four rows in a panel.
const GROUPS: usize = 8;

/// From this many tokens on, turning is worth it.
const TILE_TOKENS: usize = 5;

/// Pairs of tokens of a step: with two groups of rows, eight sums of a scale's weights and eight of a block.
const STEP_PAIRS: usize = 2;

impl Level for I8mm {
    #[inline]
    fn multiply<const STEPS: usize, B: Block>(
        self,
        panel: Panel<'_, B>,
        x: Per256<'_>,
        results: &mut Results,
        unpack: impl Fn([&B; 4], &mut Unpacked),
    ) {
        if results.len() < TILE_TOKENS {
            self.dotprod().multiply::<STEPS, B>(panel, x, results, unpack);
        } else {
            // SAFETY: the token proves that the features were detected.
            unsafe { multiply::<STEPS, B>(panel, x, results, unpack) }
        }
    }
}

#[inline]
#[target_feature(enable = "neon,i8mm")]
fn multiply<const STEPS: usize, B: Block>(
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 4], &mut Unpacked),
) {
    let mut tile = [Turned { w: nothing(), scales: [[vdupq_n_s32(0); 2]; 16] }; GROUPS];
    let rows: [_; GROUPS] = std::array::from_fn(|group| panel.group::<4>(4 * group));
    let n_steps = results.len().div_ceil(2 * STEP_PAIRS);
    for b in 0..x.n_runs() {
        for (rows, Turned { w, scales }) in rows.iter().zip(&mut tile) {
            unpack(rows.blocks(b), w);
            for pair in w.q.as_chunks_mut().0 {
                *pair = rows_of_eight(*pair);
            }
            *scales = w.scales.map(|scale| [vzip1q_s32(scale, scale), vzip2q_s32(scale, scale)]);
        }
        let steps = x.at(b).chunks(2 * STEP_PAIRS).zip(results.chunks_mut(2 * STEP_PAIRS));
        for (i, (x, results)) in steps.enumerate() {
            panel.fetch(b + 1..b + 2, i, n_steps);
            match results.len() {
                1 | 2 => step_of::<STEPS, 1>(&tile, x, results),
                _ => step_of::<STEPS, STEP_PAIRS>(&tile, x, results),
            }
        }
    }
}

/// All rows of a tile with up to `P` pairs of tokens; a token without a partner is its own.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn step_of<const STEPS: usize, const P: usize>(tile: &[Turned; GROUPS], x: &[Run256], results: &mut Results) {
    let mut a = [[vdupq_n_s8(0); P]; 32];
    for p in 0..P {
        let tokens = [2 * p, (2 * p + 1).min(x.len() - 1)].map(|token| &x[token].q);
        for (sixteen, a) in a.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            [a[0][p], a[1][p]] = tokens_of_eight(tokens.map(|q| load_signed(&q[sixteen])));
        }
    }
    for (pair, tile) in tile.as_chunks().0.iter().enumerate() {
        let sums = sums::<STEPS, P>(tile, &a);
        for (t, (x, results)) in x.iter().zip(&mut *results).enumerate() {
            let results = &mut results.as_chunks_mut().0[2 * pair..];
            for g in 0..2 {
                finish::<STEPS>(&tile[g].w, by_token(sums[g][t / 2])[t % 2], x, &mut results[g]);
            }
        }
    }
}

/// What a block's scales and weights add up to for two groups of rows with `P` pairs of tokens.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn sums<const STEPS: usize, const P: usize>(
    tile: &[Turned; 2],
    a: &[[int8x16_t; P]; 32],
) -> [[[int32x4_t; 2]; P]; 2] {
    // Eights that share a scale.
    let n = if STEPS == 8 { 4 } else { 2 };
    let mut sums = [[[vdupq_n_s32(0); 2]; P]; 2];
    for first in (0..32).step_by(n) {
        let mut parts = [[[vdupq_n_s32(0); 2]; P]; 2];
        for (eight, a) in a.iter().enumerate().skip(first).take(n) {
            for g in 0..2 {
                let rows: [int8x16_t; 2] = tile[g].w.q.as_chunks().0[eight];
                for p in 0..P {
                    for h in 0..2 {
                        parts[g][p][h] = products(parts[g][p][h], rows[h], a[p]);
                    }
                }
            }
        }
        for g in 0..2 {
            for p in 0..P {
                for h in 0..2 {
                    sums[g][p][h] = vmlaq_s32(sums[g][p][h], parts[g][p][h], tile[g].scales[first / 2][h]);
                }
            }
        }
    }
    sums
}
