//! Sixteen rows at a time, a row a lane; four columns of each are a step, and one instruction multiplies and sums them.
//! It wants unsigned weights: they are unpacked with an offset added, which the sum begins by repaying.

use crate::activations::Per32;
use crate::isa::avx512::{broadcast_4, load_floats, prefetch, store_floats};
use crate::unpack::{Panel, Results, at};
use blocks::Block;
use core::arch::x86_64::*;

/// A block of 32 weights `d · (q − offset) + m` of sixteen rows.
#[derive(Clone, Copy)]
pub(crate) struct Unpacked {
    /// Columns `4j … 4j + 3` of each row in its lane, unsigned.
    pub(crate) q: [__m512i; 8],
    pub(crate) d: __m512,
    /// Not looked at for a type that has no minimum.
    pub(crate) m: __m512,
}

/// Blocks of a tile: 256 columns.
const TILE_BLOCKS: usize = 8;

/// Groups of sixteen rows in a panel.
const GROUPS: usize = 2;

/// From this many tokens on, a tile of unpacked weights in the first cache is worth its stores and loads.
const TILE_TOKENS: usize = 5;

/// Tokens of a step from a tile: with two groups of rows, twelve sums in integers and twelve in floats, of 32 registers.
const STEP_TOKENS: usize = 6;

/// For types whose weights are unpacked with `OFFSET` added, and have a minimum or not.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn multiply<const OFFSET: i32, const MINIMUM: bool, B: Block>(
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 16]) -> Unpacked,
) {
    match results.len() {
        0 => (),
        1 => stream::<OFFSET, MINIMUM, 1, B>(panel, x, results, unpack),
        2 => stream::<OFFSET, MINIMUM, 2, B>(panel, x, results, unpack),
        3 => stream::<OFFSET, MINIMUM, 3, B>(panel, x, results, unpack),
        n if n < TILE_TOKENS => stream::<OFFSET, MINIMUM, 4, B>(panel, x, results, unpack),
        _ => tile::<OFFSET, MINIMUM, B>(panel, x, results, unpack),
    }
}

/// Few tokens: weights go from the file through registers, while the rows that come next are fetched.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn stream<const OFFSET: i32, const MINIMUM: bool, const T: usize, B: Block>(
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 16]) -> Unpacked,
) {
    for group in 0..panel.n_rows().div_ceil(16) {
        let rows: [&[B]; 16] = panel.rows(16 * group);
        let next = panel.address(16 * (group + 1));
        let mut acc = [[_mm512_setzero_ps(); T]; 1];
        for b in 0..x.n_runs {
            // Sixteen rows are consecutive in memory: sixteen of their blocks further on for sixteen blocks used.
            prefetch(next.wrapping_add(b * 16 * size_of::<B>()), 16 * size_of::<B>());
            let w = unpack(at(&rows, b));
            let runs: [usize; T] = std::array::from_fn(|t| t * x.n_runs + b);
            add_block::<MINIMUM, 1, T>(&mut acc, [&w], &x, runs, runs.map(|run| -OFFSET * x.sums[run].q));
        }
        for (t, results) in results.iter_mut().enumerate() {
            store_floats(&mut results.as_chunks_mut().0[group], acc[0][t]);
        }
    }
}

/// Many tokens: 256 columns of all rows are unpacked once into a tile, which all tokens use.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn tile<const OFFSET: i32, const MINIMUM: bool, B: Block>(
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 16]) -> Unpacked,
) {
    let zero = _mm512_setzero_ps();
    let nothing = Unpacked { q: [_mm512_setzero_si512(); 8], d: zero, m: zero };
    let mut tile = [[nothing; GROUPS]; TILE_BLOCKS];
    results.fill([0.0; 16 * GROUPS]);
    for first in (0..x.n_runs).step_by(TILE_BLOCKS) {
        let tile = &mut tile[..TILE_BLOCKS.min(x.n_runs - first)];
        for group in 0..GROUPS {
            let rows: [&[B]; 16] = panel.rows(16 * group);
            for (b, tile) in tile.iter_mut().enumerate() {
                tile[group] = unpack(at(&rows, first + b));
            }
        }
        for (step, results) in results.chunks_mut(STEP_TOKENS).enumerate() {
            let first_run = step * STEP_TOKENS * x.n_runs + first;
            match results.len() {
                1 => step_of::<OFFSET, MINIMUM, 1>(tile, &x, first_run, results),
                2 => step_of::<OFFSET, MINIMUM, 2>(tile, &x, first_run, results),
                3 => step_of::<OFFSET, MINIMUM, 3>(tile, &x, first_run, results),
                4 => step_of::<OFFSET, MINIMUM, 4>(tile, &x, first_run, results),
                5 => step_of::<OFFSET, MINIMUM, 5>(tile, &x, first_run, results),
                _ => step_of::<OFFSET, MINIMUM, STEP_TOKENS>(tile, &x, first_run, results),
            }
        }
    }
}

/// All rows of a tile with a few tokens.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn step_of<const OFFSET: i32, const MINIMUM: bool, const T: usize>(
    tile: &[[Unpacked; GROUPS]],
    x: &Per32<'_>,
    first_run: usize,
    results: &mut Results,
) {
    let mut acc = [[_mm512_setzero_ps(); T]; GROUPS];
    // Multiplied ahead: the kernel then loads them repeated, where a number from a register would cost it a shuffle.
    let mut begin = [[0; T]; TILE_BLOCKS];
    for (t, results) in results.iter().enumerate().take(T) {
        for (group, results) in results.as_chunks().0.iter().enumerate() {
            acc[group][t] = load_floats(results);
        }
        for (begin, sum) in begin.iter_mut().zip(&x.sums[first_run + t * x.n_runs..][..tile.len()]) {
            begin[t] = -OFFSET * sum.q;
        }
    }
    for (b, ([low, high], begin)) in tile.iter().zip(begin).enumerate() {
        let runs = std::array::from_fn(|t| first_run + t * x.n_runs + b);
        add_block::<MINIMUM, GROUPS, T>(&mut acc, [low, high], x, runs, begin);
    }
    for (t, results) in results.iter_mut().enumerate().take(T) {
        for (group, results) in results.as_chunks_mut().0.iter_mut().enumerate() {
            store_floats(results, acc[group][t]);
        }
    }
}

/// Adds a block's products to the sums of `G` groups of rows with `T` tokens; the integers' sums begin at `begin`.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn add_block<const MINIMUM: bool, const G: usize, const T: usize>(
    acc: &mut [[__m512; T]; G],
    w: [&Unpacked; G],
    x: &Per32<'_>,
    runs: [usize; T],
    begin: [i32; T],
) {
    let a: [&[[i8; 4]]; T] = std::array::from_fn(|t| x.q[runs[t]].as_chunks::<4>().0);
    let mut sums = [[_mm512_setzero_si512(); T]; G];
    for t in 0..T {
        for sums in &mut sums {
            sums[t] = _mm512_set1_epi32(begin[t]);
        }
    }
    for j in 0..8 {
        for t in 0..T {
            let a = broadcast_4(&a[t][j]);
            for g in 0..G {
                sums[g][t] = _mm512_dpbusd_epi32(sums[g][t], w[g].q[j], a);
            }
        }
    }
    for t in 0..T {
        let (d, s) = (_mm512_set1_ps(x.d[runs[t]]), _mm512_set1_ps(x.sums[runs[t]].s));
        for g in 0..G {
            let sum = _mm512_cvtepi32_ps(sums[g][t]);
            acc[g][t] = _mm512_fmadd_ps(sum, _mm512_mul_ps(w[g].d, d), acc[g][t]);
            if MINIMUM {
                acc[g][t] = _mm512_fmadd_ps(w[g].m, s, acc[g][t]);
            }
        }
    }
}
