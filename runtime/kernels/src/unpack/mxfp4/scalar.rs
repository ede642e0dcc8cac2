//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::scalar::{Unpacked, multiply as dot};
use blocks::Mxfp4;

pub(super) fn multiply(panel: Panel<'_, Mxfp4>, x: Per32<'_>, results: &mut Results) {
    dot(panel, x, results, unpack);
}

fn unpack(block: &Mxfp4) -> Unpacked {
    Unpacked { q: block.integers(), d: block.d(), m: None }
}
