//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::neon::{Level, Unpacked, steps};
use crate::isa::neon::{levels, load_floats, nibbles, transpose};
use blocks::{FP4_LEVELS, Mxfp4};

#[target_feature(enable = "neon")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Mxfp4>, x: Per32<'_>, results: &mut Results) {
    level.multiply::<{ steps(12) }, _>(panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "neon")]
fn unpack(blocks: [&Mxfp4; 4]) -> Unpacked {
    let q = levels(nibbles(transpose(blocks.map(|block| &block.q))), &FP4_LEVELS);
    Unpacked { q, d: load_floats(&blocks.map(Mxfp4::d)), m: None }
}
