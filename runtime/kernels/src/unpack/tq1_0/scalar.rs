//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::scalar::{Unpacked, multiply as dot};
use blocks::Tq1_0;

pub(super) fn multiply(panel: Panel<'_, Tq1_0>, x: Per256<'_>, results: &mut Results) {
    dot(panel, x, results, unpack);
}

#[inline(always)]
pub(super) fn unpack(block: &Tq1_0) -> Unpacked {
    Unpacked { q: block.integers(), scales: [1; 16], d: block.d.to_f32(), minimums: None }
}
