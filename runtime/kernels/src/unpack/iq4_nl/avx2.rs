//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Unpacked, multiply as dot};
use crate::isa::avx2::{Level, heads, levels, low_halves, nibbles, transpose};
use blocks::{IQ4_LEVELS, Iq4Nl};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Iq4Nl>, x: Per32<'_>, results: &mut Results) {
    dot::<8, 0, _, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(blocks: [&Iq4Nl; 8]) -> Unpacked {
    let [d, ..] = heads(blocks);
    let q = levels(nibbles(transpose(blocks.map(|block| &block.q))), &IQ4_LEVELS);
    Unpacked { q, d: low_halves(d), m: None }
}
