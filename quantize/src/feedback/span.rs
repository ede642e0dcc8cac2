//! What all rows need of the columns that are their turn: up to 256 of them, whole blocks.

use super::factor::{lower_factor, solve};
use super::moments::Input;
use super::panels::{DEPTH, LANES, Lanes, add_scaled, compiled};
use rayon::prelude::*;
use std::ops::Range;

/// Columns that are rounded one after the other before the errors of all are fed to those before them. The longest block.
pub(super) const SPAN: usize = 256;

/// The spans of a row, the last of them perhaps shorter.
pub(super) fn spans(n: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    (0..n).step_by(SPAN).map(move |start| start..n.min(start + SPAN))
}

/// How errors go from column to column inside a span.
#[derive(Debug)]
pub(super) struct Inner {
    /// `[len][len]`: what the error of column j adds to each column before it.
    pub(super) feedback: Vec<f32>,
    /// What is left of an error in each column counts so much.
    pub(super) importance: Vec<f32>,
}

impl Inner {
    /// By a triangle `[len][len]`, for columns of these norms.
    fn new(c: impl Fn(usize, usize) -> f32, norms: &[f32]) -> Self {
        let len = norms.len();
        let roots: Vec<f32> = norms.iter().enumerate().map(|(j, norm)| norm * c(j, j)).collect();
        let mut feedback = vec![0.0; len * len];
        for (j, row) in feedback.chunks_exact_mut(len).enumerate() {
            row[..j].iter_mut().zip(&roots).enumerate().for_each(|(i, (x, root))| *x = c(j, i) / root);
        }
        let mean = roots.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / len as f64;
        let importance = roots.iter().map(|&x| (f64::from(x).powi(2) / mean) as f32).collect();
        Self { feedback, importance }
    }
}

/// A span in the first round, from the last span to the first.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) columns: Range<usize>,
    /// What errors behind the span add to its columns: panels of these, `[len / 16][n − end]`.
    pub(super) behind: Vec<Lanes>,
    pub(super) inner: Inner,
}

impl Coming {
    /// By the factor that `input` holds.
    pub(super) fn new(input: &Input, columns: Range<usize>) -> Self {
        let (n, Range { start, end }) = (input.n, columns.clone());
        let norms = &input.norms[columns.clone()];
        let c = |i: usize, j: usize| input.square[(start + i) * n + start + j];
        let inner = Inner::new(c, norms);
        let depth = n - end;
        let factors: Vec<f32> = norms.iter().enumerate().map(|(j, norm)| 1.0 / (norm * c(j, j))).collect();
        let mut behind = vec![[0.0; LANES]; columns.len() / LANES * depth];
        behind.par_chunks_mut(DEPTH.min(depth.max(1))).enumerate().for_each(|(chunk, lanes)| {
            for (at, lanes) in lanes.iter_mut().enumerate() {
                let at = chunk * DEPTH.min(depth) + at;
                let (first, k) = (at / depth * LANES, end + at % depth);
                let row = &input.square[k * n + start + first..][..LANES];
                *lanes = std::array::from_fn(|lane| row[lane] * factors[first + lane]);
            }
        });
        Self { columns, behind, inner }
    }
}

/// A span that is done again while all the others stay.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) columns: Range<usize>,
    /// The shrunk correlations of its columns with all columns: panels, `[len / 16][n]`. Its own are not used.
    pub(super) others: Vec<Lanes>,
    /// Its own, `[len][len]`.
    pub(super) own: Vec<f32>,
    /// Their triangle.
    c: Vec<f32>,
    pub(super) inner: Inner,
}

impl Again {
    /// With correlations that are shrunk by λ.
    pub(super) fn new(input: &Input, columns: Range<usize>, shrink: f32) -> Self {
        let (n, start, len) = (input.n, columns.start, columns.len());
        let r = |i: usize, j: usize| if i == j { 1.0 } else { (1.0 - shrink) * input.correlation(i, j) };
        let mut others = vec![[0.0; LANES]; len / LANES * n];
        others.par_chunks_mut(n).enumerate().for_each(|(panel, lanes)| {
            let first = start + panel * LANES;
            for (k, lanes) in lanes.iter_mut().enumerate() {
                *lanes = std::array::from_fn(|lane| r(first + lane, k));
            }
        });
        let own: Vec<f32> = (0..len * len).map(|at| r(start + at / len, start + at % len)).collect();
        let c = lower_factor(own.iter().copied());
        let inner = Inner::new(|i, j| c[i * len + j], &input.norms[columns.clone()]);
        Self { columns, others, own, c, inner }
    }

    /// Solves own · x = lanes, in place, for each panel.
    pub(super) fn solve(&self, panels: &mut [Vec<Lanes>]) {
        compiled(
            #[inline(always)]
            || {
                for lanes in panels {
                    let len = lanes.len();
                    solve(&self.c, lanes);
                    for i in (0..len).rev() {
                        let inverse = 1.0 / self.c[i * len + i];
                        let (rest, done) = lanes.split_at_mut(i);
                        let x = &mut done[0];
                        x.iter_mut().for_each(|x| *x *= inverse);
                        for (k, lanes) in rest.iter_mut().enumerate() {
                            add_scaled(lanes, -self.c[i * len + k], x);
                        }
                    }
                }
            },
        );
    }
}
