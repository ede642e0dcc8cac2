//! Rows at work: sixty-four of them, in four panels, go through the columns together.
//!
//! Lanes are rows. So what is fetched of a triangle or of correlations serves many rows, and nothing is ever added across a
//! vector. Errors are kept times their column's norm.

use super::moments::Input;
use super::panels::{LANES, Lanes, compiled};
use super::round::{Span, add_products, costs, descend, fit, multiply, outputs, round};
use super::span::{Again, Coming};
use crate::encode::{self, Grid};

/// Panels of a tile.
const PANELS: usize = 4;

/// Rows of a tile.
pub(super) const ROWS: usize = PANELS * LANES;

/// What a row became.
#[derive(Clone)]
pub(super) struct Rounded<B: Grid> {
    /// `[panel][n]`
    pub(super) errors: Vec<Lanes>,
    /// `[panel][n]`
    pub(super) codes: Vec<[u8; LANES]>,
    /// `[row][n / LEN]`
    pub(super) scales: Vec<B::Scales>,
}

/// Sixty-four rows; those that are missing at a matrix' end are zeros.
pub(super) struct Tile<B: Grid> {
    n: usize,
    /// `[panel][n]`
    original: Vec<Lanes>,
    /// What they should be instead, if that is something else.
    wished: Option<Vec<Lanes>>,
    /// What the outputs of held-out tokens lack beside the errors: `[tokens][panel]`, or nothing.
    base: Vec<[Lanes; LANES]>,
    pub(super) rounded: Rounded<B>,
}

impl<B: Grid> Tile<B> {
    /// Of rows of `n` weights, at most 64 of them.
    pub(super) fn new(rows: &[f32], n: usize) -> Self {
        let mut original = super::panels::of_rows(rows, n);
        original.resize(PANELS * n, [0.0; LANES]);
        let zero = encode::fit::<B>(&vec![0.0; B::LEN], &vec![1.0; B::LEN]);
        let rounded = Rounded {
            errors: vec![[0.0; LANES]; PANELS * n],
            codes: vec![[0; LANES]; PANELS * n],
            scales: vec![zero; ROWS * (n / B::LEN)],
        };
        Self { n, original, wished: None, base: Vec::new(), rounded }
    }

    /// The weights as they came.
    pub(super) fn original(&self) -> &[Lanes] {
        &self.original
    }

    /// The weights that are rounded.
    fn weights(&self) -> &[Lanes] {
        self.wished.as_ref().unwrap_or(&self.original)
    }

    /// Changes the weights by so much of what [`changes`](super::upstream::changes) says. `differences` are those of
    /// the held-out tokens.
    pub(super) fn wish(&mut self, input: &Input, differences: &[Lanes], changes: &[Lanes], strength: f32) {
        let n = self.n;
        let mut wished = self.original.clone();
        for (wished, changes) in wished.chunks_exact_mut(n).zip(changes.chunks_exact(n)) {
            for ((wished, changes), norm) in wished.iter_mut().zip(changes).zip(&input.norms) {
                wished.iter_mut().zip(changes).for_each(|(w, change)| *w += strength * change / norm);
            }
        }
        let mut base = outputs(n, differences, &self.original, &[]);
        for (base, made_good) in base.iter_mut().zip(outputs(n, &input.held_out, changes, &[])) {
            for (base, made_good) in base.as_flattened_mut().iter_mut().zip(made_good.as_flattened()) {
                *base -= strength * made_good;
            }
        }
        (self.wished, self.base) = (Some(wished), base);
    }

    /// Rounds every original weight for itself, with scales for the importance of its column.
    pub(super) fn search(&self, input: &Input, importance: &[f32]) -> Rounded<B> {
        let (n, per_row) = (self.n, self.n / B::LEN);
        let mut rounded = self.rounded.clone();
        let mut block = vec![0.0; B::LEN];
        for row in 0..ROWS {
            let (first, lane) = (row / LANES * n, row % LANES);
            for at in 0..per_row {
                let columns = at * B::LEN..(at + 1) * B::LEN;
                let weights = &self.original[first + columns.start..][..B::LEN];
                block.iter_mut().zip(weights).for_each(|(x, weights)| *x = weights[lane]);
                let scales = encode::fit::<B>(&block, &importance[columns.clone()]);
                compiled(
                    #[inline(always)]
                    || {
                        for (j, &weight) in block.iter().enumerate() {
                            let (code, value) = B::nearest(&scales, j, weight);
                            let column = columns.start + j;
                            let wished = self.weights()[first + column][lane];
                            rounded.codes[first + column][lane] = code;
                            rounded.errors[first + column][lane] = input.norms[column] * (wished - value);
                        }
                    },
                );
                rounded.scales[row * per_row + at] = scales;
            }
        }
        rounded
    }

    /// Rounds the columns of a span for the first time; those behind it are done.
    pub(super) fn come(&mut self, input: &Input, span: &Coming) {
        let (n, end) = (self.n, span.columns.end);
        let mut targets: Vec<Span> =
            (0..PANELS).map(|p| self.weights()[p * n..][span.columns.clone()].to_vec()).collect();
        let errors = self.rounded.errors.chunks_exact(n).map(|errors| &errors[end..]);
        add_products(&span.behind, &errors.collect::<Vec<_>>(), &mut targets, None);
        for (p, mut target) in targets.into_iter().enumerate() {
            let origin = &self.weights()[p * n..][span.columns.clone()];
            let norms = &input.norms[span.columns.clone()];
            let scales = fit::<B>(&target, &span.inner.importance);
            let (codes, errors) = round::<B>(origin, &mut target, &scales, norms, &span.inner);
            self.put(p, &span.columns, &codes, &errors, &scales);
        }
    }

    /// Rounds the columns of a span again, for what all other columns leave to them, and keeps what is better.
    pub(super) fn come_again(&mut self, input: &Input, span: &Again, n_passes: usize) {
        let (n, len) = (self.n, span.columns.len());
        let (columns, norms) = (&span.columns, &input.norms[span.columns.clone()]);
        let mut shifts: Vec<Span> = vec![vec![[0.0; LANES]; len]; PANELS];
        let errors: Vec<_> = self.rounded.errors.chunks_exact(n).collect();
        add_products(&span.others, &errors, &mut shifts, Some(columns.start));
        span.solve(&mut shifts);
        let per_row = n / B::LEN;
        let of_span = columns.start / B::LEN..columns.end / B::LEN;
        for (p, shift) in shifts.iter().enumerate() {
            let mut origin = self.weights()[p * n..][columns.clone()].to_vec();
            let mut old = self.rounded.errors[p * n..][columns.clone()].to_vec();
            for (j, (origin, old)) in origin.iter_mut().zip(&mut old).enumerate() {
                for lane in 0..LANES {
                    origin[lane] += shift[j][lane] / norms[j];
                    old[lane] += shift[j][lane];
                }
            }
            let mut scales = fit::<B>(&origin, &span.inner.importance);
            let (mut codes, mut errors) =
                round::<B>(&origin, &mut origin.clone(), &scales, norms, &span.inner);
            let (mut slopes, old_slopes) = (multiply(&span.own, &errors), multiply(&span.own, &old));
            let (costs, old_costs) = (costs(&errors, &slopes), costs(&old, &old_slopes));
            for lane in (0..LANES).filter(|&lane| old_costs[lane] <= costs[lane]) {
                for j in 0..len {
                    errors[j][lane] = old[j][lane];
                    slopes[j][lane] = old_slopes[j][lane];
                    codes[j][lane] = self.rounded.codes[p * n + columns.start + j][lane];
                }
                let row = &self.rounded.scales[(p * LANES + lane) * per_row..][of_span.clone()];
                scales[lane * of_span.len()..][..of_span.len()].copy_from_slice(row);
            }
            for _ in 0..n_passes {
                descend::<B>(&origin, &scales, norms, &span.own, &mut codes, &mut errors, &mut slopes);
            }
            for (errors, shift) in errors.iter_mut().zip(shift) {
                errors.iter_mut().zip(shift).for_each(|(error, shift)| *error -= shift);
            }
            self.put(p, columns, &codes, &errors, &scales);
        }
    }

    /// Stores what a panel's columns of a span became.
    fn put(
        &mut self,
        p: usize,
        columns: &std::ops::Range<usize>,
        codes: &[[u8; LANES]],
        errors: &[Lanes],
        scales: &[B::Scales],
    ) {
        let (first, per_row) = (p * self.n, self.n / B::LEN);
        self.rounded.codes[first..][columns.clone()].copy_from_slice(codes);
        self.rounded.errors[first..][columns.clone()].copy_from_slice(errors);
        let n_blocks = columns.len() / B::LEN;
        for (lane, scales) in scales.chunks_exact(n_blocks).enumerate() {
            let row = &mut self.rounded.scales[(p * LANES + lane) * per_row..][..per_row];
            row[columns.start / B::LEN..][..n_blocks].copy_from_slice(scales);
        }
    }

    /// Squared error of each row's outputs, summed over the held-out tokens.
    pub(super) fn judge(&self, input: &Input, rounded: &Rounded<B>) -> [f64; ROWS] {
        sums(&outputs(self.n, &input.held_out, &rounded.errors, &self.base))
    }

    /// Squares of the original rows' outputs, likewise.
    pub(super) fn squares(&self, input: &Input) -> [f64; ROWS] {
        sums(&outputs(self.n, &input.held_out, &self.scaled(input), &[]))
    }

    /// The original weights, times their columns' norms.
    pub(super) fn scaled(&self, input: &Input) -> Vec<Lanes> {
        let norms = input.norms.iter().cycle();
        self.original.iter().zip(norms).map(|(lanes, norm)| lanes.map(|w| w * norm)).collect()
    }

    /// An original row.
    pub(super) fn original_row(&self, row: usize, out: &mut [f32]) {
        let lanes = &self.original[row / LANES * self.n..][..self.n];
        out.iter_mut().zip(lanes).for_each(|(w, lanes)| *w = lanes[row % LANES]);
    }

    /// Takes a row from elsewhere.
    pub(super) fn take(&mut self, row: usize, other: &Rounded<B>) {
        let (first, lane, per_row) = (row / LANES * self.n, row % LANES, self.n / B::LEN);
        for at in first..first + self.n {
            self.rounded.errors[at][lane] = other.errors[at][lane];
            self.rounded.codes[at][lane] = other.codes[at][lane];
        }
        let blocks = row * per_row..(row + 1) * per_row;
        self.rounded.scales[blocks.clone()].copy_from_slice(&other.scales[blocks]);
    }

    /// A row's blocks.
    pub(super) fn pack(&self, row: usize, out: &mut [B]) {
        let (first, lane, per_row) = (row / LANES * self.n, row % LANES, self.n / B::LEN);
        let mut codes = vec![0; B::LEN];
        for (at, out) in out.iter_mut().enumerate() {
            let lanes = &self.rounded.codes[first + at * B::LEN..][..B::LEN];
            codes.iter_mut().zip(lanes).for_each(|(code, lanes)| *code = lanes[lane]);
            *out = B::pack(&self.rounded.scales[row * per_row + at], &codes);
        }
    }
}

/// Squares of each row's outputs, summed over tokens.
fn sums(outputs: &[[Lanes; LANES]]) -> [f64; ROWS] {
    std::array::from_fn(|row| {
        let tiles = outputs.iter().skip(row / LANES).step_by(PANELS);
        tiles.flatten().map(|token| f64::from(token[row % LANES]).powi(2)).sum()
    })
}
