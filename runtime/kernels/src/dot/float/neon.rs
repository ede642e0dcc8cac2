//! Four rows are a vector, a row a lane: four columns of four rows are loaded and turned. A run of sixteen rows is
//! turned into a tile of 16 KiB, which all tokens use.

use super::RUN;
use crate::activations::{Floats, RunF32};
use crate::isa::neon::{load_floats, store_floats};
use crate::unpack::{PANEL_ROWS, Panel, Results};
use blocks::Block;
use core::arch::aarch64::*;

/// Tokens of a step: with four groups of rows, sixteen sums.
const STEP_TOKENS: usize = 4;

/// Groups of four rows in a tile.
const GROUPS: usize = 4;

/// A tile: of each column four groups of rows.
type Tile = [[float32x4_t; GROUPS]];

#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    load: impl Fn(&[B; 4]) -> float32x4_t,
) {
    let mut tile = [[vdupq_n_f32(0.0); GROUPS]; RUN];
    results.fill([0.0; PANEL_ROWS]);
    for part in 0..panel.n_rows().div_ceil(4 * GROUPS) {
        let mut ahead = panel.ahead(4 * GROUPS * (part + 1), 4 * GROUPS);
        for first in (0..x.n_cols()).step_by(RUN) {
            let tile = &mut tile[..RUN.min(x.n_cols() - first)];
            ahead.used(4 * GROUPS * tile.len() * size_of::<B>());
            for group in 0..GROUPS {
                let rows: [&[B]; 4] = panel.rows(4 * (GROUPS * part + group));
                for (four, tile) in tile.chunks_mut(4).enumerate() {
                    for (tile, w) in tile.iter_mut().zip(columns(rows, first + 4 * four, &load)) {
                        tile[group] = w;
                    }
                }
            }
            let tokens = x.at(first / RUN).chunks(STEP_TOKENS);
            for (x, results) in tokens.zip(results.chunks_mut(STEP_TOKENS)) {
                match results.len() {
                    1 => add_run::<1>(tile, x, part, results),
                    2 => add_run::<2>(tile, x, part, results),
                    3 => add_run::<3>(tile, x, part, results),
                    _ => add_run::<STEP_TOKENS>(tile, x, part, results),
                }
            }
        }
    }
}

/// Columns `first … first + 3` of four rows, turned: a vector is a column. Columns past the end are zeros.
#[inline]
#[target_feature(enable = "neon")]
fn columns<B: Block>(
    rows: [&[B]; 4],
    first: usize,
    load: &impl Fn(&[B; 4]) -> float32x4_t,
) -> [float32x4_t; 4] {
    let mut r = [vdupq_n_f32(0.0); 4];
    for (r, row) in r.iter_mut().zip(rows) {
        *r = match row[first..].first_chunk() {
            Some(four) => load(four),
            None => {
                let mut four = [B::zeroed(); 4];
                four[..row.len() - first].copy_from_slice(&row[first..]);
                load(&four)
            }
        };
    }
    let [a, b, c, d] = r;
    let (ab_even, ab_odd) =
        (vreinterpretq_f64_f32(vtrn1q_f32(a, b)), vreinterpretq_f64_f32(vtrn2q_f32(a, b)));
    let (cd_even, cd_odd) =
        (vreinterpretq_f64_f32(vtrn1q_f32(c, d)), vreinterpretq_f64_f32(vtrn2q_f32(c, d)));
    [
        vreinterpretq_f32_f64(vtrn1q_f64(ab_even, cd_even)),
        vreinterpretq_f32_f64(vtrn1q_f64(ab_odd, cd_odd)),
        vreinterpretq_f32_f64(vtrn2q_f64(ab_even, cd_even)),
        vreinterpretq_f32_f64(vtrn2q_f64(ab_odd, cd_odd)),
    ]
}

/// Adds a run's products with `T` tokens to the results of sixteen rows.
#[inline]
#[target_feature(enable = "neon")]
fn add_run<const T: usize>(tile: &Tile, x: &[RunF32], part: usize, results: &mut Results) {
    let x: [&[f32]; T] = std::array::from_fn(|t| &x[t][..tile.len()]);
    let mut sums = [[vdupq_n_f32(0.0); GROUPS]; T];
    for (k, w) in tile.iter().enumerate() {
        for t in 0..T {
            let x = vdupq_n_f32(x[t][k]);
            for g in 0..GROUPS {
                sums[t][g] = vfmaq_f32(sums[t][g], w[g], x);
            }
        }
    }
    for (results, sums) in results.iter_mut().zip(sums) {
        for (results, sum) in results.as_chunks_mut().0[GROUPS * part..].iter_mut().zip(sums) {
            store_floats(results, vaddq_f32(load_floats(results), sum));
        }
    }
}
