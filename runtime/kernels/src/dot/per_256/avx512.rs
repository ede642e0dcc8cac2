//! Sixteen rows at a time, a row a lane; four columns of each are a step, and one instruction multiplies and sums them.
//! It wants unsigned weights: they are unpacked with an offset added, which the sum of each 16 begins by repaying.

use crate::activations::Per256;
use crate::isa::avx512::{broadcast_4, load_floats, prefetch, store_floats};
use crate::unpack::{PANEL_ROWS, Panel, Results, at};
use blocks::Block;
use core::arch::x86_64::*;

/// A block of 256 weights `d · scale · (q − offset)` of sixteen rows.
#[derive(Clone, Copy)]
pub(crate) struct Unpacked {
    /// Columns `4j … 4j + 3` of each row in its lane, unsigned.
    pub(crate) q: [__m512i; 64],
    /// The scale of group `j` of each row in its lane.
    pub(crate) scales: [__m512i; 16],
    pub(crate) d: __m512,
}

/// Groups of sixteen rows in a panel.
const GROUPS: usize = 2;

/// Tokens of a step: with two groups of rows, twelve sums of a scale's weights and twelve of a block, of 32 registers.
const STEP_TOKENS: usize = 6;

/// For types whose weights are unpacked with `OFFSET` added.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn multiply<const OFFSET: i32, B: Block>(
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 16], &mut Unpacked),
) {
    let zero = _mm512_setzero_si512();
    let mut w = [Unpacked { q: [zero; 64], scales: [zero; 16], d: _mm512_setzero_ps() }; GROUPS];
    let rows: [[&[B]; 16]; GROUPS] = [panel.rows(0), panel.rows(16)];
    let next = panel.address(PANEL_ROWS);
    results.fill([0.0; PANEL_ROWS]);
    for b in 0..x.n_runs {
        // A panel is consecutive in memory: its rows' blocks further on for as many blocks used.
        prefetch(next.wrapping_add(b * PANEL_ROWS * size_of::<B>()), PANEL_ROWS * size_of::<B>());
        for (rows, w) in rows.iter().zip(&mut w) {
            unpack(at(rows, b), w);
        }
        for (step, results) in results.chunks_mut(STEP_TOKENS).enumerate() {
            let first_run = step * STEP_TOKENS * x.n_runs + b;
            match results.len() {
                1 => add_block::<OFFSET, 1>(&w, &x, first_run, results),
                2 => add_block::<OFFSET, 2>(&w, &x, first_run, results),
                3 => add_block::<OFFSET, 3>(&w, &x, first_run, results),
                4 => add_block::<OFFSET, 4>(&w, &x, first_run, results),
                5 => add_block::<OFFSET, 5>(&w, &x, first_run, results),
                _ => add_block::<OFFSET, STEP_TOKENS>(&w, &x, first_run, results),
            }
        }
    }
}

/// Adds a block's products with `T` tokens to a panel's results.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn add_block<const OFFSET: i32, const T: usize>(
    w: &[Unpacked; GROUPS],
    x: &Per256<'_>,
    first_run: usize,
    results: &mut Results,
) {
    let runs: [usize; T] = std::array::from_fn(|t| first_run + t * x.n_runs);
    let a: [&[[[i8; 4]; 4]; 16]; T] = std::array::from_fn(|t| bytemuck::cast_ref(&x.q[runs[t]]));
    // Multiplied ahead: the kernel then loads them repeated, where a number from a register would cost it a shuffle.
    let begin: [[i32; 16]; T] = std::array::from_fn(|t| x.sums[runs[t]].map(|sum| -OFFSET * i32::from(sum)));
    let mut sums = [[_mm512_setzero_si512(); T]; GROUPS];
    for scale in 0..16 {
        let mut parts = [[_mm512_setzero_si512(); T]; GROUPS];
        for t in 0..T {
            for parts in &mut parts {
                parts[t] = _mm512_set1_epi32(begin[t][scale]);
            }
        }
        for j in 0..4 {
            for t in 0..T {
                let a = broadcast_4(&a[t][scale][j]);
                for g in 0..GROUPS {
                    parts[g][t] = _mm512_dpbusd_epi32(parts[g][t], w[g].q[4 * scale + j], a);
                }
            }
        }
        for g in 0..GROUPS {
            for t in 0..T {
                let scaled = _mm512_mullo_epi32(parts[g][t], w[g].scales[scale]);
                sums[g][t] = _mm512_add_epi32(sums[g][t], scaled);
            }
        }
    }
    for (t, results) in results.iter_mut().enumerate().take(T) {
        let d = _mm512_set1_ps(x.d[runs[t]]);
        for (g, results) in results.as_chunks_mut().0.iter_mut().enumerate() {
            let sum = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[g][t]), w[g].d);
            store_floats(results, _mm512_fmadd_ps(sum, d, load_floats(results)));
        }
    }
}
