//! The triangle that feedback goes by.
//!
//! With errors δ of a row's weights, each times its column's norm, the squared error of its outputs is δ R δᵀ, R the
//! correlations. Let R = C Cᵀ, C lower triangular, so δ R δᵀ = Σ_j (Σ_{i ≥ j} δ_i C_ij)². Go from the last column to the
//! first: when it is column j's turn the later errors are known, and the best that it can do is to make its own bracket small: to
//! round w_j + Σ_{i > j} δ_i C_ij / C_jj (over its norm) in place of w_j. What is left of it counts C_jj² times: that is
//! the weight with which scales are fitted.
//!
//! Correlations of few tokens are exaggerated, so they are shrunk before, (1 − λ) R + λ I; which also keeps the triangle from
//! losing its bits: no number of the diagonal is below √λ.

use super::moments::{Input, STRIP};
use super::panels::{LANES, Lanes, add_product, add_scaled, compiled};
use rayon::prelude::*;

/// Columns that are factored at once: the square is read and written once for each of these.
const STEP: usize = 128;

/// Side of the tiles in which a triangle is turned.
const TURN: usize = 64;

impl Input {
    /// Puts the factor of the correlations, shrunk by λ (above 0, at most 1), below the diagonal.
    pub(crate) fn factor(&mut self, shrink: f32) {
        let n = self.n;
        self.turn(1.0 - shrink);
        if shrink == 1.0 {
            return;
        }
        for start in (0..n).step_by(STEP) {
            let len = STEP.min(n - start);
            let end = start + len;
            let corner = self.corner(start, len);
            // What is below the corner, solved, as panels of rows.
            let mut panels = vec![[0.0; LANES]; (n - end) / LANES * len];
            let (above, below) = self.square.split_at_mut(end * n);
            for (i, row) in above[start * n..].chunks_exact_mut(n).enumerate() {
                row[start..=start + i].copy_from_slice(&corner[i * len..=i * len + i]);
            }
            let strips = below.par_chunks_mut(LANES * n).zip(panels.par_chunks_mut(len));
            strips.for_each(|(rows, panel)| {
                for (lane, row) in rows.chunks_exact(n).enumerate() {
                    panel.iter_mut().zip(&row[start..end]).for_each(|(lanes, &x)| lanes[lane] = x);
                }
                compiled(
                    #[inline(always)]
                    || solve(&corner, panel),
                );
                for (lane, row) in rows.chunks_exact_mut(n).enumerate() {
                    panel.iter().zip(&mut row[start..end]).for_each(|(lanes, x)| *x = lanes[lane]);
                }
            });
            subtract(below, n, end, len, &panels);
        }
    }

    /// Writes the correlations, times a factor, below the diagonal, and ones on it.
    fn turn(&mut self, factor: f32) {
        let n = self.n;
        let mut tile = [[0.0; TURN]; TURN];
        for top in (0..n).step_by(TURN) {
            for left in (top..n).step_by(TURN) {
                let (height, width) = (TURN.min(n - top), TURN.min(n - left));
                for (i, tile) in tile[..height].iter_mut().enumerate() {
                    tile[..width].copy_from_slice(&self.square[(top + i) * n + left..][..width]);
                }
                for j in 0..width {
                    let column = left + j;
                    let row = &mut self.square[column * n + top..][..height.min(column - top)];
                    row.iter_mut().zip(&tile).for_each(|(x, tile)| *x = factor * tile[j]);
                }
            }
        }
        (0..n).for_each(|i| self.square[i * n + i] = 1.0);
    }

    /// The factor of a square on the diagonal.
    fn corner(&self, start: usize, len: usize) -> Vec<f32> {
        let rows = self.square[start * self.n..].chunks(self.n).take(len);
        lower_factor(rows.enumerate().flat_map(|(i, row)| {
            row[start..=start + i].iter().copied().chain(std::iter::repeat_n(0.0, len - i - 1))
        }))
    }
}

/// The lower triangle C of C Cᵀ, both `[n][n]`; of the square only the lower triangle is looked at.
pub(super) fn lower_factor(square: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut c: Vec<f32> = square.collect();
    let n = c.len().isqrt();
    let mut column = vec![0.0; n];
    compiled(
        #[inline(always)]
        || {
            for j in 0..n {
                // Shrunk correlations have no smaller one; rounding must not make one of nothing.
                let root = c[j * n + j].max(f32::EPSILON).sqrt();
                c[j * n + j] = root;
                for i in j + 1..n {
                    c[i * n + j] /= root;
                    column[i] = c[i * n + j];
                }
                for i in j + 1..n {
                    let row = &mut c[i * n..][j + 1..=i];
                    for (x, y) in row.iter_mut().zip(&column[j + 1..]) {
                        *x = y.mul_add(-column[i], *x);
                    }
                }
            }
        },
    );
    c
}

/// Solves X Cᵀ = panel for the lower triangle C, in place: the panel's k are the columns.
#[inline(always)]
pub(super) fn solve(c: &[f32], panel: &mut [Lanes]) {
    let len = panel.len();
    for k in 0..len {
        let inverse = 1.0 / c[k * len + k];
        let (done, rest) = panel.split_at_mut(k + 1);
        let x = &mut done[k];
        x.iter_mut().for_each(|x| *x *= inverse);
        for (i, lanes) in rest.iter_mut().enumerate() {
            add_scaled(lanes, -c[(k + 1 + i) * len + k], x);
        }
    }
}

/// Subtracts the products of panels from the lower triangle of the rows from `end` on.
fn subtract(rows: &mut [f32], n: usize, end: usize, len: usize, panels: &[Lanes]) {
    let panel = |p: usize| &panels[p * len..][..len];
    rows.par_chunks_mut(STRIP * n).enumerate().for_each(|(strip, rows)| {
        let first = strip * STRIP / LANES;
        compiled(
            #[inline(always)]
            || {
                for right in 0..first + rows.len() / (LANES * n) {
                    for (left, rows) in rows.chunks_mut(LANES * n).enumerate() {
                        if first + left < right {
                            continue;
                        }
                        let mut tile = [[0.0; LANES]; LANES];
                        add_product(panel(first + left), panel(right), &mut tile);
                        for (i, tile) in tile.iter().enumerate() {
                            let stop = if first + left == right { i + 1 } else { LANES };
                            let row = &mut rows[i * n + end + right * LANES..][..stop];
                            row.iter_mut().zip(tile).for_each(|(x, product)| *x -= product);
                        }
                    }
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::super::moments::Moments;

    #[test]
    fn the_triangle_times_itself_is_what_was_factored() {
        for n in [16, 144, 400] {
            let mut state = 7u64;
            let mut number = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 23) as f32 - 1.0
            };
            // Fewer tokens than columns: without shrinking there is no factor.
            let tokens = n / 2;
            let common: Vec<f32> = (0..tokens).map(|_| number()).collect();
            let x: Vec<f32> = (0..tokens * n).map(|i| number() + common[i / n]).collect();
            let mut moments = Moments::new(n);
            moments.add(&x);
            let mut input = moments.normalize().unwrap();
            for shrink in [0.02, 0.3, 1.0] {
                input.factor(shrink);
                let c = |i: usize, j: usize| if j > i { 0.0 } else { f64::from(input.square[i * n + j]) };
                for i in 0..n {
                    for j in 0..=i {
                        let product: f64 = (0..=j).map(|k| c(i, k) * c(j, k)).sum();
                        let r = if i == j { 1.0 } else { (1.0 - shrink) * input.correlation(i, j) };
                        assert!(
                            (product - f64::from(r)).abs() < 2e-5,
                            "{n} {shrink}: {i} {j}: {product} {r}"
                        );
                    }
                }
            }
        }
    }
}
