//! Sixteen rows at a time, a row a lane; four columns of each are a step, and one instruction multiplies and sums them.
//! It wants unsigned weights: they are unpacked with an offset added, which the sum begins by repaying.
//!
//! A token alone takes AVX2's way with types that have pairs of rows there ([`super::avx2`]), in vectors half as wide but three at a time
//! (Xeon, model 207, `cached avx512`, when they took sixteen rows at a time: Q4_0 18.8 -> 20.4 GB/s a core, Q4_1 17.6 -> 21.7, Q8_0 27.8 -> 32.9). Tried and lost: rows one after
//! the other with sixteen columns of four blocks a vector, as K-quants go, whose sums have to be turned twice, since floats go on from block
//! to block (of 256 rows Q4_0 14.9 for 21.7, Q8_0 22 for 34.6).

use super::amx;
use crate::activations::{Per32, Run32};
use crate::isa;
use crate::isa::avx512::{Avx512, broadcast_4, load_floats, store_floats};
use crate::unpack::{Group, PANEL_ROWS, Panel, Results};
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
    level: Avx512,
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
        _ => tile::<OFFSET, MINIMUM, B>(level, panel, x, results, unpack),
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
    for first in (0..panel.n_rows()).step_by(16) {
        let rows = panel.group::<16>(first);
        let mut ahead = panel.ahead::<8>(first + 16, 16);
        let mut acc = [_mm512_setzero_ps(); T];
        for (acc, results) in acc.iter_mut().zip(&*results) {
            *acc = load_floats(&results.as_chunks().0[first / 16]);
        }
        for run in 0..x.n_runs() {
            let tokens: &[Run32; T] = x.at(run).first_chunk().expect("a step's tokens");
            for b in 0..TILE_BLOCKS.min(x.n_cols() / 32 - TILE_BLOCKS * run) {
                ahead.used(16 * size_of::<B>());
                let w = unpack(rows.blocks(TILE_BLOCKS * run + b));
                for (acc, x) in acc.iter_mut().zip(tokens) {
                    // Two sums: each product waits for the one before it in its sum.
                    let mut sums = [_mm512_set1_epi32(-OFFSET * x.sums[b]), _mm512_setzero_si512()];
                    for (j, a) in x.q[b].as_chunks().0.iter().enumerate() {
                        sums[j % 2] = _mm512_dpbusd_epi32(sums[j % 2], w.q[j], broadcast_4(a));
                    }
                    *acc = add_floats::<MINIMUM>(*acc, _mm512_add_epi32(sums[0], sums[1]), &w, x, b);
                }
            }
        }
        for (results, acc) in results.iter_mut().zip(acc) {
            store_floats(&mut results.as_chunks_mut().0[first / 16], acc);
        }
    }
}

/// Many tokens: 256 columns of all rows are unpacked once into a tile, which all tokens use.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn tile<const OFFSET: i32, const MINIMUM: bool, B: Block>(
    level: Avx512,
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 16]) -> Unpacked,
) {
    let zero = _mm512_setzero_ps();
    let nothing = Unpacked { q: [_mm512_setzero_si512(); 8], d: zero, m: zero };
    let mut tile = [[nothing; GROUPS]; TILE_BLOCKS];
    let rows: [Group<'_, B, 16>; GROUPS] = std::array::from_fn(|group| panel.group(16 * group));
    let tiles = level.amx().filter(|_| results.len() >= isa::amx::STEP_TOKENS).map(amx::tiles);
    for run in 0..x.n_runs() {
        let first = TILE_BLOCKS * run;
        let n_blocks = TILE_BLOCKS.min(x.n_cols() / 32 - first);
        let tile = &mut tile[..n_blocks];
        for (b, tile) in tile.iter_mut().enumerate() {
            for (rows, tile) in rows.iter().zip(tile) {
                *tile = unpack(rows.blocks(first + b));
            }
        }
        let fetch = |i, n_steps| panel.fetch(first + TILE_BLOCKS..first + 2 * TILE_BLOCKS, i, n_steps);
        if let Some(tiles) = &tiles {
            for w in tile.as_flattened_mut() {
                w.q = w.q.map(|q| _mm512_sub_epi8(q, _mm512_set1_epi8(OFFSET as i8)));
            }
            amx::add_run::<MINIMUM, GROUPS>(tiles, tile, x.at(run), results, fetch);
            continue;
        }
        let n_steps = results.len().div_ceil(STEP_TOKENS);
        let steps = x.at(run).chunks(STEP_TOKENS).zip(results.chunks_mut(STEP_TOKENS));
        for (i, (x, results)) in steps.enumerate() {
            fetch(i, n_steps);
            match results.len() {
                1 => step_of::<OFFSET, MINIMUM, 1>(tile, x, results),
                2 => step_of::<OFFSET, MINIMUM, 2>(tile, x, results),
                3 => step_of::<OFFSET, MINIMUM, 3>(tile, x, results),
                4 => step_of::<OFFSET, MINIMUM, 4>(tile, x, results),
                5 => step_of::<OFFSET, MINIMUM, 5>(tile, x, results),
                _ => step_of::<OFFSET, MINIMUM, STEP_TOKENS>(tile, x, results),
            }
        }
    }
}

/// All rows of a tile with a few tokens.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn step_of<const OFFSET: i32, const MINIMUM: bool, const T: usize>(
    tile: &[[Unpacked; GROUPS]],
    x: &[Run32],
    results: &mut Results,
) {
    let x: &[Run32; T] = x.first_chunk().expect("a step's tokens");
    let results: &mut [[f32; PANEL_ROWS]; T] = results.first_chunk_mut().expect("a step's tokens");
    // Multiplied ahead: the kernel then loads them repeated, where a number from a register would cost it a shuffle.
    let begin: [[i32; TILE_BLOCKS]; T] = std::array::from_fn(|t| x[t].sums.map(|sum| -OFFSET * sum));
    let mut acc: [[__m512; GROUPS]; T] =
        std::array::from_fn(|t| std::array::from_fn(|g| load_floats(&results[t].as_chunks().0[g])));
    for (b, w) in tile.iter().enumerate().take(TILE_BLOCKS) {
        let mut sums: [[__m512i; GROUPS]; T] =
            std::array::from_fn(|t| [_mm512_set1_epi32(begin[t][b]); GROUPS]);
        for j in 0..8 {
            for (sums, x) in sums.iter_mut().zip(x) {
                let a = broadcast_4(&x.q[b].as_chunks().0[j]);
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = _mm512_dpbusd_epi32(*sum, w.q[j], a);
                }
            }
        }
        for t in 0..T {
            for g in 0..GROUPS {
                acc[t][g] = add_floats::<MINIMUM>(acc[t][g], sums[t][g], &w[g], &x[t], b);
            }
        }
    }
    for (results, acc) in results.iter_mut().zip(acc) {
        for (results, acc) in results.as_chunks_mut().0.iter_mut().zip(acc) {
            store_floats(results, acc);
        }
    }
}

/// A block's part in floats: its integer sum, scaled by the weights' and the activations' scales, and the minimum.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn add_floats<const MINIMUM: bool>(
    acc: __m512,
    sum: __m512i,
    w: &Unpacked,
    x: &Run32,
    b: usize,
) -> __m512 {
    let d = _mm512_mul_ps(w.d, _mm512_set1_ps(x.d[b]));
    let acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), d, acc);
    if MINIMUM { _mm512_fmadd_ps(w.m, _mm512_set1_ps(x.s[b]), acc) } else { acc }
}
