//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::scalar::{Unpacked, multiply as dot};
use blocks::Iq4Nl;

pub(super) fn multiply(panel: Panel<'_, Iq4Nl>, x: Per32<'_>, results: &mut Results) {
    dot(panel, x, results, unpack);
}

fn unpack(block: &Iq4Nl) -> Unpacked {
    Unpacked { q: block.integers(), d: block.d.to_f32(), m: None }
}
