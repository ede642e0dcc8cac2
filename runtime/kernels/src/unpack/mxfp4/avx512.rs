//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx512::{Unpacked, multiply as dot};
use crate::isa::avx512::{Avx512, levels, load_floats, nibbles, transpose};
use blocks::{FP4_LEVELS, Mxfp4};
use core::arch::x86_64::*;

/// Makes the smallest level zero.
const OFFSET: i32 = 12;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Mxfp4>, x: Per32<'_>, results: &mut Results) {
    dot::<OFFSET, false, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Mxfp4; 16]) -> Unpacked {
    let q = levels(
        nibbles(transpose(blocks.map(|block| &block.q))),
        &FP4_LEVELS.map(|level| level + OFFSET as i8),
    );
    Unpacked { q, d: load_floats(&blocks.map(Mxfp4::d)), m: _mm512_setzero_ps() }
}
