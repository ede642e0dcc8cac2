//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::scalar::{Unpacked, multiply as dot};
use blocks::Iq4Xs;

pub(super) fn multiply(panel: Panel<'_, Iq4Xs>, x: Per256<'_>, results: &mut Results) {
    dot(panel, x, results, unpack);
}

#[inline(always)]
pub(super) fn unpack(block: &Iq4Xs) -> Unpacked {
    let scales = std::array::from_fn(|s| block.scale(s / 2));
    Unpacked { q: block.integers(), scales, d: block.d.to_f32(), minimums: None }
}
