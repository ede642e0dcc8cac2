//! The definition of the sum.

use crate::activations::Per256;
use crate::unpack::{Panel, Results};
use blocks::Block;

/// A block of 256 weights `d · scale · q − dmin · min`, a scale and a minimum for every 16.
pub(crate) struct Unpacked {
    pub(crate) q: [i8; 256],
    pub(crate) scales: [i8; 16],
    pub(crate) d: f32,
    /// `min` and `dmin`; `None` for a type that has no minimums.
    pub(crate) minimums: Option<([i8; 16], f32)>,
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
            let mut acc = results[row];
            for (b, block) in blocks.iter().enumerate() {
                let (w, run) = (unpack(block), &x.at(b)[token]);
                let mut sum = 0;
                for ((q, a), &scale) in w.q.as_chunks::<16>().0.iter().zip(&run.q).zip(&w.scales) {
                    let group: i32 = q.iter().zip(a).map(|(&q, &a)| i32::from(q) * i32::from(a)).sum();
                    sum += i32::from(scale) * group;
                }
                let product = match w.minimums {
                    Some((minimums, dmin)) => {
                        let terms =
                            minimums.iter().zip(&run.sums).map(|(&m, &a)| i32::from(m) * i32::from(a));
                        (sum as f32).mul_add(w.d, -(terms.sum::<i32>() as f32 * dmin))
                    }
                    None => sum as f32 * w.d,
                };
                acc = product.mul_add(run.d, acc);
            }
            results[row] = acc;
        }
    }
}
