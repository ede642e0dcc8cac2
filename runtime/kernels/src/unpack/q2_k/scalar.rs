//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::scalar::{Unpacked, multiply as dot};
use blocks::Q2K;

pub(super) fn multiply(panel: Panel<'_, Q2K>, x: Per256<'_>, results: &mut Results) {
    dot(panel, x, results, unpack);
}

#[inline(always)]
pub(super) fn unpack(block: &Q2K) -> Unpacked {
    let scales = block.scales.map(|both| (both & 15) as i8);
    let min = block.scales.map(|both| (both >> 4) as i8);
    let minimums = Some((min, block.dmin.to_f32()));
    Unpacked { q: block.integers(), scales, d: block.d.to_f32(), minimums }
}
