//! See the parent.

use super::{Panel, Results};
use crate::activations::Floats;
use crate::dot::float::{add_eights, multiply as by_rows};
use crate::isa::neon::{add_products, floats_of, halves, join, load_16};
use blocks::{Bf16, Block, F16, F32};
use core::arch::aarch64::*;

#[target_feature(enable = "neon")]
pub(super) fn multiply_f32(_: impl Copy, panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    multiply(panel, x, results, |[w]| w.map(F32::to_f32));
}

#[target_feature(enable = "neon")]
pub(super) fn multiply_f16(_: impl Copy, panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    multiply(panel, x, results, |[w]| {
        let [low, high]: [[F16; 4]; 2] = bytemuck::cast(*w);
        floats_of([halves(low), halves(high)])
    });
}

#[target_feature(enable = "neon")]
pub(super) fn multiply_bf16(_: impl Copy, panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    multiply(panel, x, results, |[w]| {
        let w = vreinterpretq_u16_u8(load_16(bytemuck::cast_ref(w)));
        let wide = [vshll_n_u16::<16>(vget_low_u16(w)), vshll_high_n_u16::<16>(w)];
        floats_of(wide.map(|wide| vreinterpretq_f32_u32(wide)))
    });
}

/// Up to six tokens at a time. `load` makes floats of eight weights.
#[inline]
#[target_feature(enable = "neon")]
fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    load: impl Fn([&[B; 8]; 1]) -> [f32; 8],
) {
    let add = |sums: &mut _, w: &_, x: &_| add_products(sums, w, x);
    macro_rules! tokens {
        ($n_rows:literal, $n:literal, $x:expr, $results:expr, $fetches:expr) => {
            by_rows::<8, 1, $n_rows, $n, B>(
                panel,
                $x,
                $results,
                $fetches,
                |sums, rows, x, ahead| add_eights(sums, rows, x, ahead, &load, add),
                |chains| join(chains),
            )
        };
    }
    for (i, results) in results.chunks_mut(6).enumerate() {
        let (x, fetches) = (x.from(6 * i), i == 0);
        match results.len() {
            0 => (),
            1 => tokens!(8, 1, x, results, fetches),
            2 => tokens!(4, 2, x, results, fetches),
            3 => tokens!(4, 3, x, results, fetches),
            4 => tokens!(2, 4, x, results, fetches),
            5 => {
                let (four, one) = results.split_at_mut(4);
                tokens!(2, 4, x, four, fetches);
                tokens!(8, 1, x.from(4), one, false);
            }
            _ => tokens!(2, 6, x, results, fetches),
        }
    }
}
