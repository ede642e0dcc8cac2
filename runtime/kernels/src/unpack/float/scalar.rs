//! See the parent.

use super::{Panel, Results};
use crate::activations::Floats;
use crate::dot::float::scalar::multiply as dot;
use blocks::{Bf16, F16, F32};

pub(super) fn multiply_f32(panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    dot(panel, x, results, |w| w.to_f32());
}

pub(super) fn multiply_f16(panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    dot(panel, x, results, |w| w.to_f32());
}

pub(super) fn multiply_bf16(panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    dot(panel, x, results, |w| w.to_f32());
}
