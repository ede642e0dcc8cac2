//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::scalar::{Unpacked, multiply as dot};
use blocks::Q8_0;

pub(super) fn multiply(panel: Panel<'_, Q8_0>, x: Per32<'_>, results: &mut Results) {
    dot(panel, x, results, unpack);
}

fn unpack(block: &Q8_0) -> Unpacked {
    Unpacked { q: block.q, d: block.d.to_f32(), m: None }
}
