//! Errors of the layers below, which a matrix can make good in part.
//!
//! Where layers below are quantized, the inputs X̂ are not the original's X, and what a row should give is still w X. With
//! E = X − X̂ that is w X̂ + w E, and as far as E can be told from X̂ it is another row that gives it: w + w (E X̂ᵀ)(X̂ X̂ᵀ)⁻¹.
//! The row is rounded in place of w; and held-out tokens judge by w X.

use super::moments::{Input, STRIP};
use super::panels::{DEPTH, LANES, Lanes, add_product, compiled, of_columns, of_rows};
use super::span::{SPAN, spans};
use rayon::prelude::*;
use std::ops::Range;

/// What the difference to the original's inputs has to do with the inputs, and the difference on held-out tokens.
#[derive(Debug)]
pub(crate) struct Upstream {
    n: usize,
    /// `[n][n]`: Σ over tokens of the difference in column i times the input in column j.
    square: Vec<f32>,
    held_out: Vec<f32>,
}

impl Upstream {
    /// Of `n` columns.
    pub(crate) fn new(n: usize) -> Self {
        Self { n, square: vec![0.0; n * n], held_out: Vec::new() }
    }

    /// Adds rows of inputs, with the original's.
    pub(crate) fn add(&mut self, x: &[f32], original: &[f32]) {
        let n = self.n;
        let difference: Vec<f32> = original.iter().zip(x).map(|(original, x)| original - x).collect();
        let (depth, left, right) = (x.len() / n, of_columns(&difference, n), of_columns(x, n));
        self.square.par_chunks_mut(STRIP * n).enumerate().for_each(|(strip, rows)| {
            compiled(
                #[inline(always)]
                || {
                    for column in 0..n / LANES {
                        for (row, rows) in rows.chunks_mut(LANES * n).enumerate() {
                            let at = strip * STRIP / LANES + row;
                            let mut tile = [[0.0; LANES]; LANES];
                            add_product(
                                &left[at * depth..][..depth],
                                &right[column * depth..][..depth],
                                &mut tile,
                            );
                            for (row, tile) in rows.chunks_exact_mut(n).zip(&tile) {
                                let sums = &mut row[column * LANES..][..LANES];
                                sums.iter_mut().zip(tile).for_each(|(sum, x)| *sum += x);
                            }
                        }
                    }
                },
            );
        });
    }

    /// Keeps rows for the judgement.
    pub(crate) fn hold_out(&mut self, x: &[f32], original: &[f32]) {
        self.held_out.extend(original.iter().zip(x).map(|(original, x)| original - x));
    }

    /// Held-out differences as panels of rows.
    pub(super) fn held_out(&self) -> Vec<Lanes> {
        of_rows(&self.held_out, self.n)
    }
}

/// The rows that panels of weights, `[panel][n]` each, should have instead, as changes times their column's norm. The input
/// holds a factor.
pub(super) fn changes(input: &Input, upstream: &Upstream, weights: &[&[Lanes]]) -> Vec<Vec<Lanes>> {
    let n = input.n;
    let mut out: Vec<Vec<Lanes>> = weights.iter().map(|weights| vec![[0.0; LANES]; weights.len()]).collect();
    // w E X̂ᵀ.
    for columns in spans(n) {
        let panels = pack(n, &columns, 0..n, |k, j| upstream.square[k * n + j] / input.norms[j]);
        out.par_iter_mut().zip(weights).for_each(|(out, weights)| {
            for (out, weights) in out.chunks_exact_mut(n).zip(weights.chunks_exact(n)) {
                multiply(&panels, weights, &mut out[columns.clone()], 1.0);
            }
        });
    }
    let c = |i: usize, j: usize| input.square[i * n + j];
    // Solved for C, and then for Cᵀ.
    for columns in spans(n) {
        let panels = pack(n, &columns, 0..columns.start, |k, j| c(j, k));
        out.par_iter_mut().flat_map(|out| out.par_chunks_exact_mut(n)).for_each(|out| {
            let (done, rest) = out.split_at_mut(columns.start);
            let own = &mut rest[..columns.len()];
            multiply(&panels, &*done, own, -1.0);
            compiled(
                #[inline(always)]
                || {
                    for j in 0..own.len() {
                        let inverse = 1.0 / c(columns.start + j, columns.start + j);
                        let (solved, later) = own.split_at_mut(j + 1);
                        let x = &mut solved[j];
                        x.iter_mut().for_each(|x| *x *= inverse);
                        for (i, lanes) in later.iter_mut().enumerate() {
                            super::panels::add_scaled(
                                lanes,
                                -c(columns.start + j + 1 + i, columns.start + j),
                                x,
                            );
                        }
                    }
                },
            );
        });
    }
    for columns in spans(n).rev() {
        let panels = pack(n, &columns, columns.end..n, c);
        out.par_iter_mut().flat_map(|out| out.par_chunks_exact_mut(n)).for_each(|out| {
            let (before, done) = out.split_at_mut(columns.end);
            let own = &mut before[columns.start..];
            multiply(&panels, &*done, own, -1.0);
            compiled(
                #[inline(always)]
                || {
                    for j in (0..own.len()).rev() {
                        let inverse = 1.0 / c(columns.start + j, columns.start + j);
                        let (earlier, solved) = own.split_at_mut(j);
                        let x = &mut solved[0];
                        x.iter_mut().for_each(|x| *x *= inverse);
                        for (i, lanes) in earlier.iter_mut().enumerate() {
                            super::panels::add_scaled(lanes, -c(columns.start + j, columns.start + i), x);
                        }
                    }
                },
            );
        });
    }
    out
}

/// Panels of some columns, for some k.
pub(super) fn pack(
    n: usize,
    columns: &Range<usize>,
    depth: Range<usize>,
    of: impl Fn(usize, usize) -> f32 + Sync,
) -> Vec<Lanes> {
    debug_assert!(columns.len() <= SPAN && columns.end <= n);
    let mut panels = vec![[0.0; LANES]; columns.len() / LANES * depth.len()];
    if !depth.is_empty() {
        panels.par_chunks_mut(depth.len()).enumerate().for_each(|(panel, lanes)| {
            let first = columns.start + panel * LANES;
            for (lanes, k) in lanes.iter_mut().zip(depth.clone()) {
                *lanes = std::array::from_fn(|lane| of(k, first + lane));
            }
        });
    }
    panels
}

/// `out[column] += sign · Σ_k panels[k][column] · x[k]`.
pub(super) fn multiply(panels: &[Lanes], x: &[Lanes], out: &mut [Lanes], sign: f32) {
    let depth = x.len();
    compiled(
        #[inline(always)]
        || {
            // A piece of x stays in the first cache for all columns.
            let mut sums = [[[0.0; LANES]; LANES]; SPAN / LANES];
            for k in (0..depth).step_by(DEPTH) {
                let some = k..depth.min(k + DEPTH);
                for (panel, sums) in panels.chunks_exact(depth).zip(&mut sums) {
                    add_product(&panel[some.clone()], &x[some.clone()], sums);
                }
            }
            for (out, sums) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(&sums) {
                for (out, sums) in out.iter_mut().zip(sums) {
                    super::panels::add_scaled(out, sign, sums);
                }
            }
        },
    );
}
