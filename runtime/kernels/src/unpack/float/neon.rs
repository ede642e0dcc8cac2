//! See the parent.

use super::{Panel, Results};
use crate::activations::Floats;
use crate::dot::float::neon::multiply as dot;
use crate::isa::neon::{halves, load_16};
use blocks::{Bf16, F16, F32};
use core::arch::aarch64::*;

#[target_feature(enable = "neon")]
pub(super) fn multiply_f32(_: impl Copy, panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    dot(panel, x, results, |w| vreinterpretq_f32_u8(load_16(bytemuck::cast_ref(w))));
}

#[target_feature(enable = "neon")]
pub(super) fn multiply_f16(_: impl Copy, panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    dot(panel, x, results, |w| halves(*w));
}

#[target_feature(enable = "neon")]
pub(super) fn multiply_bf16(_: impl Copy, panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    dot(panel, x, results, |w| {
        let w = vcreate_u16(u64::from_le_bytes(bytemuck::cast(*w)));
        vreinterpretq_f32_u32(vshll_n_u16::<16>(w))
    });
}
