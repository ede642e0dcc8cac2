//! What errors do to the outputs of the tokens that were learned from, of which only their second moments are there.

use super::moments::Input;
use super::panels::{LANES, Lanes};
use super::span::spans;
use super::tile::Tile;
use super::upstream::{multiply, pack};
use crate::{Grid, Share};
use rayon::prelude::*;
use std::cmp::Ordering;

/// The errors of the first `n_rows` rows of some tiles, beside their weights.
pub(super) fn share<B: Grid>(input: &Input, tiles: &[Tile<B>], n_rows: usize) -> Share {
    let errors: Vec<_> = tiles.iter().map(|tile| tile.rounded.errors.as_slice()).collect();
    let error = squares(input, &errors, n_rows);
    let weights: Vec<_> = tiles.par_iter().map(|tile| tile.scaled(input)).collect();
    let weights: Vec<_> = weights.iter().map(Vec::as_slice).collect();
    Share { error, whole: squares(input, &weights, n_rows) }
}

/// Σ over the tokens and the first `n_rows` rows, `[panel][n]` a tile and times their columns' norms, of the squared outputs:
/// rᵀ C r of the correlations C.
fn squares(input: &Input, tiles: &[&[Lanes]], n_rows: usize) -> f64 {
    let n = input.n_cols();
    let mut sums: Vec<Vec<f64>> = tiles.iter().map(|rows| vec![0.0; rows.len() / n * LANES]).collect();
    for columns in spans(n) {
        // Of each pair one, twice.
        let of = |k: usize, j: usize| match k.cmp(&j) {
            Ordering::Less => 2.0 * input.correlation(k, j),
            Ordering::Equal => 1.0,
            Ordering::Greater => 0.0,
        };
        let panels = pack(n, &columns, 0..columns.end, of);
        sums.par_iter_mut().zip(tiles).for_each(|(sums, rows)| {
            for (sums, rows) in sums.chunks_exact_mut(LANES).zip(rows.chunks_exact(n)) {
                let mut products = vec![[0.0; LANES]; columns.len()];
                multiply(&panels, &rows[..columns.end], &mut products, 1.0);
                for (products, row) in products.iter().zip(&rows[columns.clone()]) {
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        *sum += f64::from(products[lane] * row[lane]);
                    }
                }
            }
        });
    }
    sums.iter().flatten().take(n_rows).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::Moments;
    use crate::feedback::panels::of_rows;

    #[test]
    fn squares_are_those_of_the_outputs() {
        let number = |i: usize| ((i * 7919 + i / 13) % 23) as f32 - 9.0;
        for n in [16, 272] {
            let x: Vec<f32> = (0..40 * n).map(number).collect();
            let mut moments = Moments::new(n);
            moments.add(&x);
            let mut input = moments.normalize().unwrap();
            // It must not read the factor, which lies on the diagonal and below.
            input.factor(0.1);
            let rows: Vec<f32> = (0..20 * n).map(|i| number(i + 5) / 9.0).collect();
            let scaled: Vec<f32> = rows.iter().enumerate().map(|(at, w)| w * input.norms[at % n]).collect();
            let output = |row: &[f32], x: &[f32]| -> f64 {
                row.iter().zip(x).map(|(w, x)| f64::from(w * x)).sum::<f64>().powi(2)
            };
            for n_rows in [1, 20] {
                let rows = rows.chunks(n).take(n_rows);
                let expected: f64 = rows.map(|row| x.chunks(n).map(|x| output(row, x)).sum::<f64>()).sum();
                let found = squares(&input, &[&of_rows(&scaled, n)], n_rows);
                assert!((found / expected - 1.0).abs() < 1e-4, "{n}, {n_rows}: {found} and {expected}");
            }
        }
    }
}
