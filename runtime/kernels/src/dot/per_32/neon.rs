//! Four rows at a time, a row a lane; four columns of each are a step. Products are summed in 16 bits as long as they
//! fit, and the offset is taken from the weights as they are unpacked.

use crate::activations::{Per32, Run32};
use crate::isa::neon::{Neon, broadcast_4, load_floats, store_floats};
use crate::unpack::{Panel, Results};
use blocks::Block;
use core::arch::aarch64::*;

/// A block of 32 weights `d · q + m` of four rows.
#[derive(Clone, Copy)]
pub(crate) struct Unpacked {
    /// Columns `4j … 4j + 3` of each row in its lane, signed.
    pub(crate) q: [int8x16_t; 8],
    pub(crate) d: float32x4_t,
    /// `None` for a type that has no minimum.
    pub(crate) m: Option<float32x4_t>,
}

/// Blocks of a tile: 256 columns.
pub(super) const TILE_BLOCKS: usize = 8;

/// Groups of four rows in a panel.
pub(super) const GROUPS: usize = 8;

/// From this many tokens on, a tile of unpacked weights in the first cache is worth its stores and loads.
pub(super) const TILE_TOKENS: usize = 5;

/// Tokens of a step from a tile: with two groups of rows, six sums; more do not fit the registers.
const STEP_TOKENS: usize = 3;

/// How many steps' products fit 16 bits, one product a step, for weights of at most this magnitude.
pub(crate) const fn steps(largest: usize) -> usize {
    let steps = 32_767 / (largest * 127);
    if steps < 8 { steps } else { 8 }
}

/// A level of Arm: what it makes of the blocks that NEON unpacks.
pub(crate) trait Level: Copy {
    /// For types whose products fit 16 bits `STEPS` at a time: see [`steps`].
    fn multiply<const STEPS: usize, B: Block>(
        self,
        panel: Panel<'_, B>,
        x: Per32<'_>,
        results: &mut Results,
        unpack: impl Fn([&B; 4]) -> Unpacked,
    );
}

impl Level for Neon {
    #[inline]
    fn multiply<const STEPS: usize, B: Block>(
        self,
        panel: Panel<'_, B>,
        x: Per32<'_>,
        results: &mut Results,
        unpack: impl Fn([&B; 4]) -> Unpacked,
    ) {
        // SAFETY: the token proves that the feature was detected.
        unsafe { multiply::<STEPS, B>(panel, x, results, unpack) }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn multiply<const STEPS: usize, B: Block>(
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 4]) -> Unpacked,
) {
    match results.len() {
        0 => (),
        1 => stream::<STEPS, 1, B>(panel, x, results, unpack),
        2 => stream::<STEPS, 2, B>(panel, x, results, unpack),
        3 => stream::<STEPS, 3, B>(panel, x, results, unpack),
        n if n < TILE_TOKENS => stream::<STEPS, 4, B>(panel, x, results, unpack),
        _ => tile(panel, x, results, STEP_TOKENS, unpack, |tile, x, results| match results.len() {
            1 => step_of::<STEPS, 1>(tile, x, results),
            2 => step_of::<STEPS, 2>(tile, x, results),
            _ => step_of::<STEPS, STEP_TOKENS>(tile, x, results),
        }),
    }
}

/// Few tokens: weights go from the file through registers, while the rows that come next are fetched.
#[inline]
#[target_feature(enable = "neon")]
fn stream<const STEPS: usize, const T: usize, B: Block>(
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
            add_block::<STEPS, 1, T>(&mut acc, [&w], x.at(b / TILE_BLOCKS), b % TILE_BLOCKS);
        }
        for (t, results) in results.iter_mut().enumerate() {
            store_floats(&mut results.as_chunks_mut().0[group], acc[0][t]);
        }
    }
}

/// Many tokens: 256 columns of all rows are unpacked once into a tile, and `step` multiplies it with `step_tokens` of them
/// at a time. So much is done in a step that levels with more features can share what is around it.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn tile<B: Block>(
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    step_tokens: usize,
    unpack: impl Fn([&B; 4]) -> Unpacked,
    step: impl Fn(&[[Unpacked; GROUPS]], &[Run32], &mut Results),
) {
    let zero = vdupq_n_f32(0.0);
    let nothing = Unpacked { q: [vdupq_n_s8(0); 8], d: zero, m: Some(zero) };
    let mut tile = [[nothing; GROUPS]; TILE_BLOCKS];
    let n_blocks = x.n_cols() / 32;
    for first in (0..n_blocks).step_by(TILE_BLOCKS) {
        let tile = &mut tile[..TILE_BLOCKS.min(n_blocks - first)];
        for group in 0..GROUPS {
            let rows = panel.group::<4>(4 * group);
            for (b, tile) in tile.iter_mut().enumerate() {
                tile[group] = unpack(rows.blocks(first + b));
            }
        }
        let n_steps = results.len().div_ceil(step_tokens);
        let tokens = x.at(first / TILE_BLOCKS).chunks(step_tokens);
        for (i, (x, results)) in tokens.zip(results.chunks_mut(step_tokens)).enumerate() {
            panel.fetch(first + TILE_BLOCKS..first + 2 * TILE_BLOCKS, i, n_steps);
            step(tile, x, results);
        }
    }
}

/// All rows of a tile with a few tokens.
#[inline]
#[target_feature(enable = "neon")]
fn step_of<const STEPS: usize, const T: usize>(
    tile: &[[Unpacked; GROUPS]],
    x: &[Run32],
    results: &mut Results,
) {
    for pair in 0..GROUPS / 2 {
        let mut acc = [[vdupq_n_f32(0.0); T]; 2];
        for (t, results) in results.iter().enumerate() {
            let results = results.as_chunks().0;
            (acc[0][t], acc[1][t]) = (load_floats(&results[2 * pair]), load_floats(&results[2 * pair + 1]));
        }
        for (b, tile) in tile.iter().enumerate() {
            let w = [&tile[2 * pair], &tile[2 * pair + 1]];
            add_block::<STEPS, 2, T>(&mut acc, w, x, b);
        }
        for (t, results) in results.iter_mut().enumerate() {
            let results = results.as_chunks_mut().0;
            store_floats(&mut results[2 * pair], acc[0][t]);
            store_floats(&mut results[2 * pair + 1], acc[1][t]);
        }
    }
}

/// Adds the products of the runs' block `b` to the sums of `G` groups of rows with `T` tokens.
#[inline]
#[target_feature(enable = "neon")]
fn add_block<const STEPS: usize, const G: usize, const T: usize>(
    acc: &mut [[float32x4_t; T]; G],
    w: [&Unpacked; G],
    x: &[Run32],
    b: usize,
) {
    let x: &[Run32; T] = x.first_chunk().expect("a step's tokens");
    let a: [&[[i8; 4]; 8]; T] = x.each_ref().map(|x| bytemuck::cast_ref(&x.q[b]));
    let mut sums = [[vdupq_n_s32(0); T]; G];
    for first in (0..8).step_by(STEPS) {
        let mut low = [[vdupq_n_s16(0); T]; G];
        let mut high = low;
        for j in first..first + STEPS {
            for t in 0..T {
                let a = broadcast_4(&a[t][j]);
                for g in 0..G {
                    low[g][t] = vmlal_s8(low[g][t], vget_low_s8(w[g].q[j]), vget_low_s8(a));
                    high[g][t] = vmlal_high_s8(high[g][t], w[g].q[j], a);
                }
            }
        }
        for g in 0..G {
            for t in 0..T {
                let wide = vpaddq_s32(vpaddlq_s16(low[g][t]), vpaddlq_s16(high[g][t]));
                sums[g][t] = vaddq_s32(sums[g][t], wide);
            }
        }
    }
    for t in 0..T {
        let (d, s) = (vdupq_n_f32(x[t].d[b]), vdupq_n_f32(x[t].s[b]));
        for g in 0..G {
            acc[g][t] = vfmaq_f32(acc[g][t], vcvtq_f32_s32(sums[g][t]), vmulq_f32(w[g].d, d));
            if let Some(m) = w[g].m {
                acc[g][t] = vfmaq_f32(acc[g][t], m, s);
            }
        }
    }
}
