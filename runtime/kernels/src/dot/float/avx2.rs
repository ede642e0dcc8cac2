//! Eight rows are a vector, a row a lane: sixteen bytes of sixteen rows are loaded and turned. For a token alone they are
//! used at once; for more, 256 columns of sixteen rows are a tile of 16 KiB for all of them, while the next 256 are fetched:
//! with weights from memory, 126 tokens and F16, two cores of a Zen 3 came to 73 · 10⁹ multiply-adds a second without, and to 82.
//!
//! Halves of both groups of eight rows are turned in one vector, which is a third less shuffles than a group after the other
//! (a token alone, from memory, two cores: 14.8 and 16.9 GB/s). Lost: lines copied one ahead of their use (the same).

use super::RUN;
use crate::activations::{Floats, RunF32};
use crate::isa::LINE;
use crate::isa::avx2::{load_16, load_floats, store_16, store_floats};
use crate::unpack::{PANEL_ROWS, Panel, Results};
use blocks::Block;
use core::arch::x86_64::*;

/// Tokens of a step: with two groups of rows, twelve sums.
const STEP_TOKENS: usize = 6;

/// Rows that are multiplied together.
pub(crate) const ROWS: usize = 16;

/// A line of memory of each row, copied. Rows are often a power of two apart, where the first cache has places for eight
/// lines, and a line of which a quarter is taken at a time may be gone when its next is wanted.
type Lines = [[[u8; 16]; LINE / 16]; ROWS];

/// For rows whose sixteen bytes are `N` columns: `columns` makes of them two vectors a column, of eight rows each.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn multiply<const N: usize, B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    columns: impl Fn([&[u8; 16]; ROWS]) -> [[__m256; 2]; N],
) {
    const { assert!(N * size_of::<B>() == 16) };
    match results {
        [results] => stream(panel, x, results, columns),
        _ => tile(panel, x, results, columns),
    }
}

/// Takes the line of each row that begins at column `first`, with zeros past the row's end.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn copy<B: Block>(rows: &[&[B]; ROWS], first: usize, lines: &mut Lines) {
    for (line, row) in lines.iter_mut().zip(rows) {
        let bytes: &[u8] = bytemuck::cast_slice(&row[first..]);
        match bytes.first_chunk::<LINE>() {
            Some(whole) => {
                for (to, from) in line.iter_mut().zip(whole.as_chunks().0) {
                    store_16(to, load_16(from));
                }
            }
            None => copy_end(bytes, line),
        }
    }
}

/// Apart, or all lines are copied as if they had any length.
#[cold]
fn copy_end(bytes: &[u8], line: &mut [[u8; 16]; LINE / 16]) {
    let line = line.as_flattened_mut();
    line[..bytes.len()].copy_from_slice(bytes);
    line[bytes.len()..].fill(0);
}

/// Quarter `at` of each row.
#[inline(always)]
fn quarter(lines: &Lines, at: usize) -> [&[u8; 16]; ROWS] {
    std::array::from_fn(|row| &lines[row][at])
}

/// One token: weights go from the file through registers, while the rows that come next are fetched.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn stream<const N: usize, B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut [f32; PANEL_ROWS],
    columns: impl Fn([&[u8; 16]; ROWS]) -> [[__m256; 2]; N],
) {
    let mut lines: Lines = [[[0; 16]; LINE / 16]; ROWS];
    for (pair, results) in
        results.as_chunks_mut::<ROWS>().0.iter_mut().enumerate().take(panel.n_rows().div_ceil(ROWS))
    {
        let rows: [&[B]; ROWS] = panel.rows(ROWS * pair);
        let mut ahead = panel.ahead(ROWS * (pair + 1), ROWS);
        let mut acc = [_mm256_setzero_ps(); 2];
        for run in 0..x.n_runs() {
            let mut sums = [_mm256_setzero_ps(); 2];
            let n_cols = RUN.min(x.n_cols() - run * RUN);
            for (at, x) in x.at(run)[0][..n_cols].chunks(4 * N).enumerate() {
                ahead.used(ROWS * LINE);
                copy(&rows, run * RUN + at * 4 * N, &mut lines);
                for (at, x) in x.chunks(N).enumerate() {
                    let w = columns(quarter(&lines, at));
                    if let Some(x) = x.first_chunk::<N>() {
                        for j in 0..N {
                            let x = _mm256_set1_ps(x[j]);
                            sums =
                                [_mm256_fmadd_ps(w[j][0], x, sums[0]), _mm256_fmadd_ps(w[j][1], x, sums[1])];
                        }
                    } else {
                        for (j, &x) in x.iter().enumerate() {
                            let x = _mm256_set1_ps(x);
                            sums =
                                [_mm256_fmadd_ps(w[j][0], x, sums[0]), _mm256_fmadd_ps(w[j][1], x, sums[1])];
                        }
                    }
                }
            }
            acc = [_mm256_add_ps(acc[0], sums[0]), _mm256_add_ps(acc[1], sums[1])];
        }
        let [low, high] = results.as_chunks_mut().0 else { unreachable!("sixteen are two eights") };
        store_floats(low, acc[0]);
        store_floats(high, acc[1]);
    }
}

/// Several tokens: a run of sixteen rows is turned once into a tile, which all tokens use.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<const N: usize, B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    columns: impl Fn([&[u8; 16]; ROWS]) -> [[__m256; 2]; N],
) {
    let mut tile = [[_mm256_setzero_ps(); 2]; RUN];
    let mut lines: Lines = [[[0; 16]; LINE / 16]; ROWS];
    let n_pairs = panel.n_rows().div_ceil(ROWS);
    results.fill([0.0; PANEL_ROWS]);
    for run in 0..x.n_runs() {
        let first = run * RUN;
        let n_cols = RUN.min(x.n_cols() - first);
        for pair in 0..n_pairs {
            let rows: [&[B]; ROWS] = panel.rows(ROWS * pair);
            for (at, tile) in tile[..n_cols.next_multiple_of(4 * N)].chunks_mut(4 * N).enumerate() {
                copy(&rows, first + at * 4 * N, &mut lines);
                for (at, tile) in tile.as_chunks_mut::<N>().0.iter_mut().enumerate() {
                    *tile = columns(quarter(&lines, at));
                }
            }
            let (tile, tokens) = (&tile[..n_cols], x.at(run).chunks(STEP_TOKENS));
            let n_steps = results.len().div_ceil(STEP_TOKENS);
            for (i, (x, results)) in tokens.zip(results.chunks_mut(STEP_TOKENS)).enumerate() {
                panel.fetch(first + RUN..first + 2 * RUN, pair * n_steps + i, n_pairs * n_steps);
                match results.len() {
                    1 => add_run::<1>(tile, x, pair, results),
                    2 => add_run::<2>(tile, x, pair, results),
                    3 => add_run::<3>(tile, x, pair, results),
                    4 => add_run::<4>(tile, x, pair, results),
                    5 => add_run::<5>(tile, x, pair, results),
                    _ => add_run::<STEP_TOKENS>(tile, x, pair, results),
                }
            }
        }
    }
}

/// Adds a run's products with `T` tokens to the results of sixteen rows.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_run<const T: usize>(tile: &[[__m256; 2]], x: &[RunF32], pair: usize, results: &mut Results) {
    let x: &[RunF32; T] = x.first_chunk().expect("a step's tokens");
    let mut sums = [[_mm256_setzero_ps(); 2]; T];
    for (k, [low, high]) in tile.iter().enumerate().take(RUN) {
        for t in 0..T {
            let x = _mm256_set1_ps(x[t][k]);
            sums[t] = [_mm256_fmadd_ps(*low, x, sums[t][0]), _mm256_fmadd_ps(*high, x, sums[t][1])];
        }
    }
    for (results, sums) in results.iter_mut().zip(sums) {
        for (results, sum) in results.as_chunks_mut().0[2 * pair..].iter_mut().zip(sums) {
            store_floats(results, _mm256_add_ps(load_floats(results), sum));
        }
    }
}
