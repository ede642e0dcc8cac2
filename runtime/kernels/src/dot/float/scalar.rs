//! The definition of the sum.

use super::{CHAINS, STRETCH};
use crate::activations::{Floats, RUN};
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
            for (stretch, weights) in weights.chunks(STRETCH).enumerate() {
                let mut chains = [0.0; CHAINS];
                for (i, w) in weights.iter().enumerate() {
                    let k = stretch * STRETCH + i;
                    let chain = &mut chains[k % CHAINS];
                    *chain = to_f32(w).mul_add(x.at(k / RUN)[token].0[k % RUN], *chain);
                }
                results[row] += lanes::join(chains, |a, b| a + b);
            }
        }
    }
}
