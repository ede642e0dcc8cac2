//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::scalar::{Unpacked, multiply as dot};
use blocks::Q3K;

pub(super) fn multiply(panel: Panel<'_, Q3K>, x: Per256<'_>, results: &mut Results) {
    dot(panel, x, results, unpack);
}

#[inline(always)]
pub(super) fn unpack(block: &Q3K) -> Unpacked {
    Unpacked { q: block.integers(), scales: block.scales(), d: block.d.to_f32(), minimums: None }
}
