//! Float weights: eight chains of fused multiply-adds, column `k` in chain `k mod 8`, over each 512 columns; then the chains
//! are joined by a fixed tree ([`crate::lanes::join`]), and what the stretches of 512 give is added in order. So eight consecutive
//! columns of a row are a vector at every level, and nothing has to be turned. The stretches bound the error of a long row
//! and are the tiles of a batch.
//!
//! One piece of code for all levels, which bring how weights become floats, how a vector of products is added and how chains are
//! joined. As plain code of eight floats a product was unrolled by one build and not by another, whose sums went through memory
//! (a quarter of the speed).
//!
//! On one core of a Zen 3, whose peak is 52 · 10⁹ multiply-adds a second, rows of 4096 in the caches, with F16 / BF16 / F32: a token
//! alone reads 32, 30 and 34 GB/s, and 126 tokens come to 44, 44 and 43. One chain in the order of the columns, a vector eight rows,
//! came to 47, 47 and 46 for 126 tokens, but a token alone to 12, 13 and 15 GB/s at best: turning eight rows takes more than
//! the products, and the chain of eight rows waits for itself. The loop over a tile comes to 50; joining takes a twentieth of
//! the time, making floats as much. Joined after 256 columns it came to 40.

pub(crate) mod scalar;

use crate::activations::{Floats, RUN, RunF32};
use crate::unpack::{Panel, Results};
use blocks::Block;
use std::array;

/// Chains of a sum.
pub(crate) const CHAINS: usize = 8;

/// Columns whose products are summed before the chains are joined: the shorter it is, the more often a processor has to
/// wait for their ends.
pub(crate) const STRETCH: usize = 2 * RUN;

/// Rows of a tile.
const ROWS: usize = 8;

/// Vectors of weights that are multiplied together.
const STEP: usize = 4;

/// Eight columns of each of a tile's rows.
type Columns = [[f32; CHAINS]; ROWS];

/// A stretch of some rows as floats: 16 KiB, half a first cache.
#[repr(C, align(64))]
struct Tile([Columns; STRETCH / CHAINS]);

/// How many tokens are [`few`].
pub(crate) const FEW: usize = 3;

/// Up to [`FEW`] tokens: weights go from the file through registers. `load` makes floats of eight weights, `add` adds products of
/// eight columns to their chains, and `join` makes sums of four rows' chains.
#[inline(always)]
pub(crate) fn few<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    load: impl Fn(&[B; CHAINS]) -> [f32; CHAINS],
    add: impl Fn(&mut [f32; CHAINS], &[f32; CHAINS], &[f32; CHAINS]),
    join: impl Fn([[f32; CHAINS]; 4]) -> [f32; 4],
) {
    match results.len() {
        0 => (),
        1 => stream::<ROWS, 1, B>(panel, x, results, load, add, join),
        2 => stream::<STEP, 2, B>(panel, x, results, load, add, join),
        FEW => stream::<STEP, FEW, B>(panel, x, results, load, add, join),
        n => panic!("{n} tokens are not few"),
    }
}

/// `R` rows at a time, while the rows that come next are fetched.
#[inline(always)]
fn stream<const R: usize, const T: usize, B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    load: impl Fn(&[B; CHAINS]) -> [f32; CHAINS],
    add: impl Fn(&mut [f32; CHAINS], &[f32; CHAINS], &[f32; CHAINS]),
    join: impl Fn([[f32; CHAINS]; 4]) -> [f32; 4],
) {
    for group in 0..panel.n_rows().div_ceil(R) {
        let rows: [&[B]; R] = panel.rows(R * group);
        let mut ahead = panel.ahead(R * (group + 1), R);
        for first in (0..x.n_cols()).step_by(STRETCH) {
            let n_cols = STRETCH.min(x.n_cols() - first);
            let mut sums = [[[0.0; CHAINS]; R]; T];
            for (x, at) in x.stretch(first).into_iter().zip((0..n_cols).step_by(RUN)) {
                let x: &[RunF32; T] = x.first_chunk().expect("as many tokens as results");
                let n_cols = RUN.min(n_cols - at);
                let rows = rows.map(|row| &row[first + at..][..n_cols]);
                let whole = rows.map(|row| row.as_chunks::<CHAINS>().0);
                let columns = |k| array::from_fn(|r| load(&whole[r][k]));
                for k in 0..n_cols / CHAINS {
                    ahead.used(R * CHAINS * size_of::<B>());
                    add_rows(&mut sums, &columns(k), x, k, &add);
                }
                if !n_cols.is_multiple_of(CHAINS) {
                    let rest = rows.map(|row| load(&padded(row.as_chunks::<CHAINS>().1)));
                    add_rows(&mut sums, &rest, x, n_cols / CHAINS, &add);
                }
            }
            finish(&sums, R * group, results, &join);
        }
    }
}

/// Several tokens: a stretch of some rows becomes floats once, for all of them, while the next is fetched; with vectors of `V`
/// floats, those of one row or two, and up to `T` tokens at a time, so that their sums fill the registers.
#[inline(always)]
pub(crate) fn many<const V: usize, const T: usize, B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    load: impl Fn(&[B; CHAINS]) -> [f32; CHAINS],
    add: impl Fn(&mut [f32; V], &[f32; V], &[f32; CHAINS]),
    join: impl Fn([[f32; CHAINS]; 4]) -> [f32; 4],
) {
    let Tile(tile) = &mut Tile([[[0.0; CHAINS]; ROWS]; STRETCH / CHAINS]);
    let (n_groups, n_steps) = (panel.n_rows().div_ceil(ROWS), results.len().div_ceil(T));
    for first in (0..x.n_cols()).step_by(STRETCH) {
        let n_cols = STRETCH.min(x.n_cols() - first);
        let (tile, x) = (&mut tile[..n_cols.div_ceil(CHAINS)], x.stretch(first));
        for group in 0..n_groups {
            for (r, row) in panel.rows::<ROWS>(ROWS * group).into_iter().enumerate() {
                let (whole, rest) = row[first..][..n_cols].as_chunks();
                for (columns, whole) in tile.iter_mut().zip(whole) {
                    columns[r] = load(whole);
                }
                if let Some(columns) = tile.get_mut(whole.len()) {
                    columns[r] = load(&padded(rest));
                }
            }
            for (i, results) in results.chunks_mut(T).enumerate() {
                let next = first + STRETCH..first + 2 * STRETCH;
                panel.fetch(next, group * n_steps + i, n_groups * n_steps);
                let x = x.map(|x| x.get(T * i..).unwrap_or_default());
                match results.len() {
                    1 => step::<V, 1>(tile, x, group, results, &add, &join),
                    2 if T > 2 => step::<V, 2>(tile, x, group, results, &add, &join),
                    3 if T > 3 => step::<V, 3>(tile, x, group, results, &add, &join),
                    4 if T > 4 => step::<V, 4>(tile, x, group, results, &add, &join),
                    5 if T > 5 => step::<V, 5>(tile, x, group, results, &add, &join),
                    _ => step::<V, T>(tile, x, group, results, &add, &join),
                }
            }
        }
    }
}

/// Adds a tile's products with `T` tokens to the results of its rows.
#[inline(always)]
fn step<const V: usize, const T: usize>(
    tile: &[Columns],
    x: [&[RunF32]; 2],
    group: usize,
    results: &mut Results,
    add: &impl Fn(&mut [f32; V], &[f32; V], &[f32; CHAINS]),
    join: &impl Fn([[f32; CHAINS]; 4]) -> [f32; 4],
) {
    for at in 0..ROWS * CHAINS / (STEP * V) {
        let mut sums = [[[0.0; V]; STEP]; T];
        for (x, tile) in x.into_iter().zip(tile.chunks(RUN / CHAINS)) {
            let x: &[RunF32; T] = x.first_chunk().expect("as many tokens as results");
            for (k, columns) in tile.iter().enumerate().take(RUN / CHAINS) {
                let vectors = columns.as_flattened().as_chunks::<V>().0.as_chunks::<STEP>().0;
                add_rows(&mut sums, &vectors[at], x, k, add);
            }
        }
        finish(&sums, ROWS * group + STEP * V / CHAINS * at, results, join);
    }
}

/// Adds products of eight columns of some rows with tokens to their chains.
#[inline(always)]
fn add_rows<const V: usize, const R: usize, const T: usize>(
    sums: &mut [[[f32; V]; R]; T],
    rows: &[[f32; V]; R],
    x: &[RunF32; T],
    k: usize,
    add: &impl Fn(&mut [f32; V], &[f32; V], &[f32; CHAINS]),
) {
    for r in 0..R {
        for t in 0..T {
            add(&mut sums[t][r], &rows[r], &x[t].0.as_chunks().0[k]);
        }
    }
}

/// Adds what chains come to, to the results of the rows from `first` on.
#[inline(always)]
fn finish<const V: usize, const R: usize, const T: usize>(
    sums: &[[[f32; V]; R]; T],
    first: usize,
    results: &mut Results,
    join: &impl Fn([[f32; CHAINS]; 4]) -> [f32; 4],
) {
    for t in 0..T {
        let results = results[t][first..].as_chunks_mut::<4>().0;
        let rows = sums[t].as_flattened().as_chunks::<CHAINS>().0.as_chunks::<4>().0;
        for (results, chains) in results.iter_mut().zip(rows) {
            let sums = join(*chains);
            for i in 0..4 {
                results[i] += sums[i];
            }
        }
    }
}

/// A row's last weights, and zeros.
#[cold]
fn padded<B: Block>(weights: &[B]) -> [B; CHAINS] {
    let mut padded = [B::zeroed(); CHAINS];
    padded[..weights.len()].copy_from_slice(weights);
    padded
}
