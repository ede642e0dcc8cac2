//! Sixteen rows are a vector, a row a lane: sixteen columns of sixteen rows are loaded and turned, and 256 columns of a
//! panel are a tile for all tokens. A token alone is left to AVX2: halves came at 24 GB/s there and at 14 here, where
//! turning costs four steps and not three.

use super::RUN;
use crate::activations::{Floats, RunF32};
use crate::isa::avx512::{load_floats, store_floats};
use crate::unpack::{PANEL_ROWS, Panel, Results};
use blocks::Block;
use core::arch::x86_64::*;

/// Groups of sixteen rows in a panel.
const GROUPS: usize = 2;

/// Tokens of a step: with two groups of rows, twelve sums, enough to hide that one waits for the one before.
const STEP_TOKENS: usize = 6;

/// Columns `first … first + 15` of sixteen rows, turned: a vector is a column. Columns past the end are zeros.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn columns<B: Block>(rows: [&[B]; 16], first: usize, load: &impl Fn(&[B; 16]) -> __m512) -> [__m512; 16] {
    let mut r = [_mm512_setzero_ps(); 16];
    for (r, row) in r.iter_mut().zip(rows) {
        *r = match row[first..].first_chunk() {
            Some(sixteen) => load(sixteen),
            None => {
                let mut sixteen = [B::zeroed(); 16];
                sixteen[..row.len() - first].copy_from_slice(&row[first..]);
                load(&sixteen)
            }
        };
    }
    transpose(r)
}

/// Row `i` of the result has float `i` of each row.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn transpose(rows: [__m512; 16]) -> [__m512; 16] {
    // Four rows at a time: quarter p of vector c has column 4p + c of the four.
    let mut fours = [[_mm512_setzero_ps(); 4]; 4];
    for (&[a, b, c, d], four) in rows.as_chunks::<4>().0.iter().zip(&mut fours) {
        let (ab, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let (cd, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        *four = [
            _mm512_shuffle_ps::<0x44>(ab, cd),
            _mm512_shuffle_ps::<0xee>(ab, cd),
            _mm512_shuffle_ps::<0x44>(ab_high, cd_high),
            _mm512_shuffle_ps::<0xee>(ab_high, cd_high),
        ];
    }
    // Then the quarters of a column are put side by side.
    let mut columns = [_mm512_setzero_ps(); 16];
    for c in 0..4 {
        let [p, q, r, s] = fours.map(|four| four[c]);
        let (pq, pq_high) = (_mm512_shuffle_f32x4::<0x44>(p, q), _mm512_shuffle_f32x4::<0xee>(p, q));
        let (rs, rs_high) = (_mm512_shuffle_f32x4::<0x44>(r, s), _mm512_shuffle_f32x4::<0xee>(r, s));
        columns[c] = _mm512_shuffle_f32x4::<0x88>(pq, rs);
        columns[4 + c] = _mm512_shuffle_f32x4::<0xdd>(pq, rs);
        columns[8 + c] = _mm512_shuffle_f32x4::<0x88>(pq_high, rs_high);
        columns[12 + c] = _mm512_shuffle_f32x4::<0xdd>(pq_high, rs_high);
    }
    columns
}

/// Several tokens: a run of the panel is turned once into a tile, which all tokens use.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    load: impl Fn(&[B; 16]) -> __m512,
) {
    let mut tile = [[_mm512_setzero_ps(); GROUPS]; RUN];
    results.fill([0.0; PANEL_ROWS]);
    for first in (0..x.n_cols()).step_by(RUN) {
        let tile = &mut tile[..RUN.min(x.n_cols() - first)];
        for group in 0..GROUPS {
            let rows: [&[B]; 16] = panel.rows(16 * group);
            for (sixteen, tile) in tile.chunks_mut(16).enumerate() {
                for (tile, w) in tile.iter_mut().zip(columns(rows, first + 16 * sixteen, &load)) {
                    tile[group] = w;
                }
            }
        }
        let tokens = x.at(first / RUN).chunks(STEP_TOKENS);
        for (x, results) in tokens.zip(results.chunks_mut(STEP_TOKENS)) {
            match results.len() {
                1 => add_run::<1>(tile, x, results),
                2 => add_run::<2>(tile, x, results),
                3 => add_run::<3>(tile, x, results),
                4 => add_run::<4>(tile, x, results),
                5 => add_run::<5>(tile, x, results),
                _ => add_run::<STEP_TOKENS>(tile, x, results),
            }
        }
    }
}

/// Adds a run's products with `T` tokens to the panel's results.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn add_run<const T: usize>(tile: &[[__m512; GROUPS]], x: &[RunF32], results: &mut Results) {
    let x: [&[f32]; T] = std::array::from_fn(|t| &x[t][..tile.len()]);
    let mut sums = [[_mm512_setzero_ps(); GROUPS]; T];
    for (k, [low, high]) in tile.iter().enumerate() {
        for t in 0..T {
            let x = _mm512_set1_ps(x[t][k]);
            sums[t] = [_mm512_fmadd_ps(*low, x, sums[t][0]), _mm512_fmadd_ps(*high, x, sums[t][1])];
        }
    }
    for (results, sums) in results.iter_mut().zip(sums) {
        for (results, sum) in results.as_chunks_mut().0.iter_mut().zip(sums) {
            store_floats(results, _mm512_add_ps(load_floats(results), sum));
        }
    }
}
