//! The definition of the sum.

use crate::activations::Per256;
use crate::unpack::{Panel, Results};
use blocks::Block;

/// A block of 256 weights `d · scale · q`, a scale for every 16.
pub(crate) struct Unpacked {
    pub(crate) q: [i8; 256],
    pub(crate) scales: [i8; 16],
    pub(crate) d: f32,
}

pub(crate) fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Per256<'_>,
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
                let mut sum = 0;
                for ((q, a), &scale) in
                    w.q.as_chunks::<16>().0.iter().zip(x.q[run].as_chunks::<16>().0).zip(&w.scales)
                {
                    let group: i32 = q.iter().zip(a).map(|(&q, &a)| i32::from(q) * i32::from(a)).sum();
                    sum += i32::from(scale) * group;
                }
                acc = (sum as f32 * w.d).mul_add(x.d[run], acc);
            }
            results[row] = acc;
        }
    }
}
