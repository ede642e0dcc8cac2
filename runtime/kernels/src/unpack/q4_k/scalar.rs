//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::scalar::{Unpacked, multiply as dot};
use blocks::{Q4K, scale_and_min};

pub(super) fn multiply(panel: Panel<'_, Q4K>, x: Per256<'_>, results: &mut Results) {
    dot(panel, x, results, unpack);
}

fn unpack(block: &Q4K) -> Unpacked {
    let q = std::array::from_fn(|i| block.q(i) as i8);
    let scales = std::array::from_fn(|s| scale_and_min(&block.scales, s / 2).0 as i8);
    let min = std::array::from_fn(|s| scale_and_min(&block.scales, s / 2).1 as i8);
    Unpacked { q, scales, d: block.d.to_f32(), minimums: Some((min, block.dmin.to_f32())) }
}
