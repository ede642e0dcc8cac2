//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::scalar::{Unpacked, multiply as dot};
use blocks::Q6K;

pub(super) fn multiply(panel: Panel<'_, Q6K>, x: Per256<'_>, results: &mut Results) {
    dot(panel, x, results, unpack);
}

fn unpack(block: &Q6K) -> Unpacked {
    let q = std::array::from_fn(|i| block.q(i) as i8);
    Unpacked { q, scales: block.scales, d: block.d.to_f32(), minimums: None }
}
