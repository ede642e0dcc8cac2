//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::scalar::{Unpacked, multiply as dot};
use blocks::Q4_0;

pub(super) fn multiply(panel: Panel<'_, Q4_0>, x: Per32<'_>, results: &mut Results) {
    dot(panel, x, results, unpack);
}

fn unpack(block: &Q4_0) -> Unpacked {
    let q = std::array::from_fn(|i| (block.q[i % 16] >> (4 * (i / 16)) & 15) as i8 - 8);
    Unpacked { q, d: block.d.to_f32(), m: None }
}
