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
        for (token, results) in results.iter_mut().enumerate() {
            let mut acc = 0.0;
            for (run, weights) in weights.chunks(RUN).enumerate() {
                let x = &x.at(run)[token];
                acc += weights.iter().zip(x).fold(0.0, |sum, (w, &x)| to_f32(w).mul_add(x, sum));
            }
            results[row] = acc;
        }
    }
}
