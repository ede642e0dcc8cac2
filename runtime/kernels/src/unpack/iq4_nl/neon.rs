//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::neon::{Level, Unpacked, steps};
use crate::isa::neon::{halves, levels, nibbles, transpose};
use blocks::{IQ4_LEVELS, Iq4Nl};

#[target_feature(enable = "neon")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Iq4Nl>, x: Per32<'_>, results: &mut Results) {
    level.multiply::<{ steps(127) }, _>(panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "neon")]
fn unpack(blocks: [&Iq4Nl; 4]) -> Unpacked {
    let q = levels(nibbles(transpose(blocks.map(|block| &block.q))), &IQ4_LEVELS);
    Unpacked { q, d: halves(blocks.map(|block| block.d)), m: None }
}
