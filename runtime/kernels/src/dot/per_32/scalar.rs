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
            let mut acc = results[row];
            for (b, block) in blocks.iter().enumerate() {
                let (w, run, b) = (unpack(block), &x.at(b / 8)[token], b % 8);
                let sum: i32 = w.q.iter().zip(&run.q[b]).map(|(&q, &a)| i32::from(q) * i32::from(a)).sum();
                acc = (sum as f32).mul_add(w.d * run.d[b], acc);
                if let Some(m) = w.m {
                    acc = m.mul_add(run.s[b], acc);
                }
            }
            results[row] = acc;
        }
    }
}
