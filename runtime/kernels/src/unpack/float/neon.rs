//! See the parent.

use super::{Panel, Results};
use crate::activations::Floats;
use crate::dot::float::multiply as dot;
use crate::isa::neon::{floats_of, halves, join, load_16};
use blocks::{Bf16, F16, F32};
use core::arch::aarch64::*;

#[target_feature(enable = "neon")]
pub(super) fn multiply_f32(_: impl Copy, panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    dot::<8, 2, _>(panel, x, results, |w| w.map(F32::to_f32), |chains| join(chains));
}

#[target_feature(enable = "neon")]
pub(super) fn multiply_f16(_: impl Copy, panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    dot::<8, 2, _>(
        panel,
        x,
        results,
        |w| {
            let [low, high]: [[F16; 4]; 2] = bytemuck::cast(*w);
            floats_of([halves(low), halves(high)])
        },
        |chains| join(chains),
    );
}

#[target_feature(enable = "neon")]
pub(super) fn multiply_bf16(_: impl Copy, panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    dot::<8, 2, _>(
        panel,
        x,
        results,
        |w| {
            let w = vreinterpretq_u16_u8(load_16(bytemuck::cast_ref(w)));
            let wide = [vshll_n_u16::<16>(vget_low_u16(w)), vshll_high_n_u16::<16>(w)];
            floats_of(wide.map(|wide| vreinterpretq_f32_u32(wide)))
        },
        |chains| join(chains),
    );
}
