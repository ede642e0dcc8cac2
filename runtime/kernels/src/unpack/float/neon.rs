//! See the parent.

use super::{Panel, Results};
use crate::activations::Floats;
use crate::dot::float::{FEW, few, many};
use crate::isa::neon::{add_products, floats_of, halves, join, load_16};
use blocks::{Bf16, Block, F16, F32};
use core::arch::aarch64::*;

#[target_feature(enable = "neon")]
pub(super) fn multiply_f32(_: impl Copy, panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    multiply(panel, x, results, |w| w.map(F32::to_f32));
}

#[target_feature(enable = "neon")]
pub(super) fn multiply_f16(_: impl Copy, panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    multiply(panel, x, results, |w| {
        let [low, high]: [[F16; 4]; 2] = bytemuck::cast(*w);
        floats_of([halves(low), halves(high)])
    });
}

#[target_feature(enable = "neon")]
pub(super) fn multiply_bf16(_: impl Copy, panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    multiply(panel, x, results, |w| {
        let w = vreinterpretq_u16_u8(load_16(bytemuck::cast_ref(w)));
        let wide = [vshll_n_u16::<16>(vget_low_u16(w)), vshll_high_n_u16::<16>(w)];
        floats_of(wide.map(|wide| vreinterpretq_f32_u32(wide)))
    });
}

/// `load` makes floats of eight weights.
#[inline]
#[target_feature(enable = "neon")]
fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    load: impl Fn(&[B; 8]) -> [f32; 8],
) {
    if results.len() <= FEW {
        few(panel, x, results, load, |sums, w, x| add_products(sums, w, x), |chains| join(chains));
    } else {
        many::<8, 2, _>(
            panel,
            x,
            results,
            load,
            |sums, w, x| add_products(sums, w, x),
            |chains| join(chains),
        );
    }
}
