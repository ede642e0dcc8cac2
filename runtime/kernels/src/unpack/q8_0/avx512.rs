//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx512::{Unpacked, multiply as dot};
use crate::isa::avx512::{Avx512, halves, transpose, unsigned};
use blocks::Q8_0;
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Q8_0>, x: Per32<'_>, results: &mut Results) {
    if let [_] = results {
        return super::avx2::multiply(level, panel, x, results);
    }
    dot::<128, false, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Q8_0; 16]) -> Unpacked {
    let half = |at: usize| -> [&[u8; 16]; 16] {
        blocks.map(|block| &bytemuck::cast_ref::<[i8; 32], [[u8; 16]; 2]>(&block.q)[at])
    };
    let ([a, b, c, d], [e, f, g, h]) = (transpose(half(0)), transpose(half(1)));
    let q = unsigned([a, b, c, d, e, f, g, h]);
    Unpacked { q, d: halves(blocks.map(|block| block.d)), m: _mm512_setzero_ps() }
}
