//! The second moments of a matrix' input, XᵀX, summed over tokens, and the tokens that are held out of the sum.
//!
//! Everything behind this file works with columns that are divided by their root mean square: then the moments are
//! correlations, and a weight's error is multiplied with its column's. [`Input`] keeps them above the diagonal of one square, and
//! lets [`factor`](super::factor) keep its triangle below: the square is by far the largest thing that a layer takes.

use super::panels::{LANES, Lanes, add_product, compiled, of_columns, of_rows};
use rayon::prelude::*;

/// Rows of the square that a core takes at a time: four panels, so that what is fetched of the others serves each.
pub(super) const STRIP: usize = 64;

/// A column that was never or hardly used counts as much as this part of the mean at least: the text may not have shown
/// all that there is.
const FLOOR: f64 = 1e-5;

/// Sums in the making.
#[derive(Debug)]
pub(crate) struct Moments {
    n: usize,
    /// `[n][n]`, of which the part above the diagonal is used.
    square: Vec<f32>,
    diagonal: Vec<f32>,
    /// Rows of inputs of the tokens that are held out.
    held_out: Vec<f32>,
}

impl Moments {
    /// Of `n` columns, whole panels of them.
    pub(crate) fn new(n: usize) -> Self {
        assert!(n > 0 && n.is_multiple_of(LANES), "{n} columns are no whole panels");
        Self { n, square: vec![0.0; n * n], diagonal: vec![0.0; n], held_out: Vec::new() }
    }

    /// Bytes for `n` columns, `n_held_out` tokens and windows of `context`.
    pub(crate) fn n_bytes(n: u64, n_held_out: u64, context: u64) -> u64 {
        let per_column = n.saturating_add(2 * n_held_out).saturating_add(2 * context).saturating_add(8);
        n.saturating_mul(per_column).saturating_mul(size_of::<f32>() as u64)
    }

    /// Adds rows of inputs.
    pub(crate) fn add(&mut self, x: &[f32]) {
        let n = self.n;
        let (depth, panels) = (x.len() / n, of_columns(x, n));
        let panel = |p: usize| &panels[p * depth..][..depth];
        let strips = self.square.par_chunks_mut(STRIP * n).zip(self.diagonal.par_chunks_mut(STRIP));
        strips.enumerate().for_each(|(strip, (rows, diagonal))| {
            let first = strip * STRIP / LANES;
            compiled(
                #[inline(always)]
                || {
                    for right in first..n / LANES {
                        for (left, rows) in rows.chunks_mut(LANES * n).enumerate() {
                            if first + left > right {
                                break;
                            }
                            let mut tile = [[0.0; LANES]; LANES];
                            add_product(panel(first + left), panel(right), &mut tile);
                            let on_diagonal = first + left == right;
                            for (i, tile) in tile.iter().enumerate() {
                                let start = if on_diagonal { i + 1 } else { 0 };
                                let row = &mut rows[i * n + right * LANES..][..LANES];
                                row[start..].iter_mut().zip(&tile[start..]).for_each(|(sum, x)| *sum += x);
                                if on_diagonal {
                                    diagonal[left * LANES + i] += tile[i];
                                }
                            }
                        }
                    }
                },
            );
        });
    }

    /// Keeps rows of inputs for the judgement.
    pub(crate) fn hold_out(&mut self, x: &[f32]) {
        self.held_out.extend_from_slice(x);
    }

    /// Divides each column by its root mean square. `None`: some sums are no finite numbers.
    pub(crate) fn normalize(mut self) -> Option<Input> {
        let n = self.n;
        let mean = self.diagonal.iter().map(|&sum| f64::from(sum)).sum::<f64>() / n as f64;
        if !mean.is_finite() || self.held_out.iter().any(|x| !x.is_finite()) {
            return None;
        }
        // An input of nothing but zeros: every weight is as good as another.
        let floor = if mean > 0.0 { mean * FLOOR } else { 1.0 };
        let norms: Vec<f32> =
            self.diagonal.iter().map(|&sum| f64::from(sum).max(floor).sqrt() as f32).collect();
        self.square.par_chunks_mut(n).zip(&norms).enumerate().for_each(|(i, (row, norm))| {
            row[i + 1..].iter_mut().zip(&norms[i + 1..]).for_each(|(x, other)| *x /= norm * other);
        });
        for row in self.held_out.chunks_exact_mut(n) {
            row.iter_mut().zip(&norms).for_each(|(x, norm)| *x /= norm);
        }
        let held_out = of_rows(&self.held_out, n);
        Some(Input { n, square: self.square, norms, held_out })
    }
}

/// What is known of a matrix' input.
#[derive(Debug)]
pub(crate) struct Input {
    pub(super) n: usize,
    /// Above the diagonal: correlations. On it and below: the factor, where there is one.
    pub(super) square: Vec<f32>,
    /// What each column was divided by.
    pub(super) norms: Vec<f32>,
    /// Held-out tokens, divided likewise, as panels of rows.
    pub(super) held_out: Vec<Lanes>,
}

impl Input {
    /// Columns.
    pub(crate) fn n_cols(&self) -> usize {
        self.n
    }

    /// What an error in each column costs if it is alone.
    pub(crate) fn importance(&self) -> Vec<f32> {
        let mean = self.norms.iter().map(|&norm| f64::from(norm).powi(2)).sum::<f64>() / self.n as f64;
        self.norms.iter().map(|&norm| (f64::from(norm).powi(2) / mean) as f32).collect()
    }

    /// The correlation of two different columns.
    #[inline(always)]
    pub(super) fn correlation(&self, i: usize, j: usize) -> f32 {
        self.square[i.min(j) * self.n + i.max(j)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_products() {
        for n in [16, 80] {
            let number = |i: usize| ((i * 7919 + i / 13) % 23) as f32 - 9.0;
            let x: Vec<f32> = (0..40 * n).map(number).collect();
            let mut moments = Moments::new(n);
            x.chunks(10 * n).for_each(|x| moments.add(x));
            let sum = |i: usize, j: usize| x.chunks(n).map(|x| x[i] * x[j]).sum::<f32>();
            for i in 0..n {
                assert_eq!(moments.diagonal[i], sum(i, i));
                for j in 0..n {
                    assert_eq!(moments.square[i * n + j], if j > i { sum(i, j) } else { 0.0 }, "{i} {j}");
                }
            }
            moments.hold_out(&x[..3 * n]);
            let input = moments.normalize().unwrap();
            let expected = sum(3, 5) / (sum(3, 3) * sum(5, 5)).sqrt();
            assert!((input.correlation(5, 3) - expected).abs() < 1e-6);
            assert_eq!(input.held_out[5][2], x[2 * n + 5] / input.norms[5]);
            assert_eq!((input.held_out.len(), input.held_out[0][3]), (n, 0.0));
        }
    }

    #[test]
    fn columns_of_nothing_are_bounded_and_numbers_that_are_none_told() {
        let mut x = vec![1.0; 32];
        x[3] = 0.0;
        x[19] = 0.0;
        let mut moments = Moments::new(16);
        moments.add(&x);
        let importance = moments.normalize().unwrap().importance();
        assert!(importance[3] > 0.0 && importance[3] < 1e-4 && importance[0] > 1.0);
        assert!(Moments::new(16).normalize().unwrap().importance().iter().all(|&x| x == 1.0));
        let mut moments = Moments::new(16);
        moments.add(&[f32::NAN; 16]);
        assert!(moments.normalize().is_none());
    }
}
