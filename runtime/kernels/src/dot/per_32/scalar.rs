//! The definition of the sum.

use crate::activations::Per32;
use crate::unpack::{Panel, Results};
use blocks::Block;

/// A block of 32 weights `d · q + m`.
pub(crate) struct Unpacked {
    pub(crate) q: [i8; 32],
    pub(crate) d: f32,
    /// `None` for a type that has no minimum.
    pub(crate) m: Option<f32>,
}

pub(crate) fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    unpack: impl Fn(&B) -> Unpacked,
) {
    for row in 0..panel.n_rows() {
        let [blocks] = panel.rows(row);
        for (token, results) in results.iter_mut().enumerate() {
            let runs = token * x.n_runs..(token + 1) * x.n_runs;
            let mut acc = 0.0;
            for (block, run) in blocks.iter().zip(runs) {
                let w = unpack(block);
                let sum: i32 = w.q.iter().zip(&x.q[run]).map(|(&q, &a)| i32::from(q) * i32::from(a)).sum();
                acc = (sum as f32).mul_add(w.d * x.d[run], acc);
                if let Some(m) = w.m {
                    acc = m.mul_add(x.sums[run].s, acc);
                }
            }
            results[row] = acc;
        }
    }
}
