//! Eight rows are a vector, a row a lane: eight columns of eight rows are loaded and turned. For a token alone they are
//! used at once; for more, 256 columns of sixteen rows are a tile of 16 KiB for all of them.

use super::RUN;
use crate::activations::{Floats, RunF32};
use crate::isa::avx2::{load_floats, settled, store_floats};
use crate::unpack::{PANEL_ROWS, Panel, Results};
use blocks::Block;
use core::arch::x86_64::*;

/// Tokens of a step: with two groups of rows, twelve sums.
const STEP_TOKENS: usize = 6;

/// Columns that are loaded of one row after the other: whole lines of memory. Rows are often a power of two apart, where the
/// first cache has places for eight lines, and a line of which eight columns are taken at a time may be gone when its next are
/// wanted. That is not what a token alone waits for: with F16 it reads 11 of 40 GB/s on Zen 3 either way.
const LOADED: usize = 32;

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    load: impl Fn(&[B; 8]) -> __m256,
) {
    match results {
        [results] => stream(panel, x, results, load),
        _ => tile(panel, x, results, load),
    }
}

/// Columns `first … first + 31` of eight rows as floats: of each row four vectors. Columns past the end are zeros.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn loaded<B: Block>(rows: [&[B]; 8], first: usize, load: &impl Fn(&[B; 8]) -> __m256) -> [[__m256; 4]; 8] {
    let mut out = [[_mm256_setzero_ps(); 4]; 8];
    for (out, row) in out.iter_mut().zip(rows) {
        let mut copy = [B::zeroed(); LOADED];
        let columns: &[B; LOADED] = match row[first..].first_chunk() {
            Some(columns) => columns,
            None => {
                copy[..row.len() - first].copy_from_slice(&row[first..]);
                &copy
            }
        };
        for (out, eight) in out.iter_mut().zip(columns.as_chunks().0) {
            *out = _mm256_castsi256_ps(settled(_mm256_castps_si256(load(eight))));
        }
    }
    out
}

/// Row `i` of the result has float `i` of each row.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn transpose([a, b, c, d, e, f, g, h]: [__m256; 8]) -> [__m256; 8] {
    let (ab, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let (cd, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    let (ef, ef_high) = (_mm256_unpacklo_ps(e, f), _mm256_unpackhi_ps(e, f));
    let (gh, gh_high) = (_mm256_unpacklo_ps(g, h), _mm256_unpackhi_ps(g, h));
    // Columns i and i + 4 of four rows.
    let low = [
        _mm256_shuffle_ps::<0x44>(ab, cd),
        _mm256_shuffle_ps::<0xee>(ab, cd),
        _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
        _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
    ];
    let high = [
        _mm256_shuffle_ps::<0x44>(ef, gh),
        _mm256_shuffle_ps::<0xee>(ef, gh),
        _mm256_shuffle_ps::<0x44>(ef_high, gh_high),
        _mm256_shuffle_ps::<0xee>(ef_high, gh_high),
    ];
    [
        _mm256_permute2f128_ps::<0x20>(low[0], high[0]),
        _mm256_permute2f128_ps::<0x20>(low[1], high[1]),
        _mm256_permute2f128_ps::<0x20>(low[2], high[2]),
        _mm256_permute2f128_ps::<0x20>(low[3], high[3]),
        _mm256_permute2f128_ps::<0x31>(low[0], high[0]),
        _mm256_permute2f128_ps::<0x31>(low[1], high[1]),
        _mm256_permute2f128_ps::<0x31>(low[2], high[2]),
        _mm256_permute2f128_ps::<0x31>(low[3], high[3]),
    ]
}

/// One token: weights go from the file through registers, while the rows that come next are fetched.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn stream<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut [f32; PANEL_ROWS],
    load: impl Fn(&[B; 8]) -> __m256,
) {
    for (pair, results) in
        results.as_chunks_mut::<16>().0.iter_mut().enumerate().take(panel.n_rows().div_ceil(16))
    {
        let rows: [[&[B]; 8]; 2] = [panel.rows(16 * pair), panel.rows(16 * pair + 8)];
        let mut ahead = panel.ahead(16 * (pair + 1), 16);
        let mut acc = [_mm256_setzero_ps(); 2];
        for run in 0..x.n_runs() {
            let mut sums = [_mm256_setzero_ps(); 2];
            let n_cols = RUN.min(x.n_cols() - run * RUN);
            for (at, x) in x.at(run)[0][..n_cols].chunks(LOADED).enumerate() {
                let first = run * RUN + at * LOADED;
                ahead.used(16 * LOADED * size_of::<B>());
                let lines = [loaded(rows[0], first, &load), loaded(rows[1], first, &load)];
                for (eight, x) in x.chunks(8).enumerate() {
                    let w = lines.each_ref().map(|lines| transpose(lines.each_ref().map(|row| row[eight])));
                    for (j, &x) in x.iter().enumerate() {
                        for (sum, w) in sums.iter_mut().zip(&w) {
                            *sum = _mm256_fmadd_ps(w[j], _mm256_set1_ps(x), *sum);
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
fn tile<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    load: impl Fn(&[B; 8]) -> __m256,
) {
    let mut tile = [[_mm256_setzero_ps(); 2]; RUN];
    results.fill([0.0; PANEL_ROWS]);
    for run in 0..x.n_runs() {
        let first = run * RUN;
        let tile = &mut tile[..RUN.min(x.n_cols() - first)];
        for pair in 0..panel.n_rows().div_ceil(16) {
            let rows: [[&[B]; 8]; 2] = [panel.rows(16 * pair), panel.rows(16 * pair + 8)];
            for (at, tile) in tile.chunks_mut(LOADED).enumerate() {
                for (g, rows) in rows.into_iter().enumerate() {
                    let lines = loaded(rows, first + at * LOADED, &load);
                    for (eight, tile) in tile.chunks_mut(8).enumerate() {
                        let w = transpose(lines.each_ref().map(|row| row[eight]));
                        for (tile, w) in tile.iter_mut().zip(w) {
                            tile[g] = w;
                        }
                    }
                }
            }
            let tokens = x.at(run).chunks(STEP_TOKENS);
            for (x, results) in tokens.zip(results.chunks_mut(STEP_TOKENS)) {
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
