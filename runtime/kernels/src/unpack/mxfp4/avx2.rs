//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Unpacked, multiply as dot};
use crate::isa::avx2::{Level, levels, load_floats, nibbles, transpose};
use blocks::{FP4_LEVELS, Mxfp4};

/// Makes the smallest level zero, and the largest one of five bits.
const OFFSET: i32 = 12;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Mxfp4>, x: Per32<'_>, results: &mut Results) {
    dot::<5, OFFSET, _, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(blocks: [&Mxfp4; 8]) -> Unpacked {
    let q = levels(
        nibbles(transpose(blocks.map(|block| &block.q))),
        &FP4_LEVELS.map(|level| level + OFFSET as i8),
    );
    Unpacked { q, d: load_floats(&blocks.map(Mxfp4::d)), m: None }
}
