//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::neon::{Level, Unpacked, steps};
use crate::isa::neon::{halves, signed, transpose};
use blocks::Q8_0;

#[target_feature(enable = "neon")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q8_0>, x: Per32<'_>, results: &mut Results) {
    level.multiply::<{ steps(128) }, _>(panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "neon")]
fn unpack(blocks: [&Q8_0; 4]) -> Unpacked {
    let half = |at: usize| -> [&[u8; 16]; 4] {
        blocks.map(|block| &bytemuck::cast_ref::<[i8; 32], [[u8; 16]; 2]>(&block.q)[at])
    };
    let ([a, b, c, d], [e, f, g, h]) = (transpose(half(0)), transpose(half(1)));
    Unpacked { q: signed([a, b, c, d, e, f, g, h], 0), d: halves(blocks.map(|block| block.d)), m: None }
}
