//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx2::{Unpacked, multiply as dot};
use crate::isa::avx2::{Level, heads, low_halves, transpose};
use blocks::Q8_0;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q8_0>, x: Per32<'_>, results: &mut Results) {
    dot::<8, 0, _, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(blocks: [&Q8_0; 8]) -> Unpacked {
    let [scale, ..] = heads(blocks);
    let half = |at: usize| -> [&[u8; 16]; 8] {
        blocks.map(|block| &bytemuck::cast_ref::<[i8; 32], [[u8; 16]; 2]>(&block.q)[at])
    };
    let ([a, b, c, d], [e, f, g, h]) = (transpose(half(0)), transpose(half(1)));
    Unpacked { q: [a, b, c, d, e, f, g, h], d: low_halves(scale), m: None }
}
