//! The definition of the sum.

use super::CHAINS;
use crate::activations::Floats;
use crate::lanes;
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
            let mut chains = [0.0; CHAINS];
            for (k, (w, x)) in weights.iter().zip(x.token(token).as_flattened()).enumerate() {
                let chain = &mut chains[k % CHAINS];
                *chain = to_f32(w).mul_add(*x, *chain);
            }
            results[row] += lanes::join(chains, |a, b| a + b);
        }
    }
}
