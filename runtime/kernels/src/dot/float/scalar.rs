//! The definition of the sum.

use super::RUN;
use crate::activations::Floats;
use crate::unpack::{Panel, Results};
use blocks::Block;

pub(crate) fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    to_f32: impl Fn(&B) -> f32,
) {
    for row in 0..panel.n_rows() {
        let [weights] = panel.rows(row);
        for (x, results) in x.x.chunks_exact(x.n_cols).zip(&mut *results) {
            let mut acc = 0.0;
            for (weights, x) in weights.chunks(RUN).zip(x.chunks(RUN)) {
                acc += weights.iter().zip(x).fold(0.0, |sum, (w, &x)| to_f32(w).mul_add(x, sum));
            }
            results[row] = acc;
        }
    }
}
