//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, OFFSET, Out, Scales, multiply as dot, two_bits};
use crate::isa::avx2::{Level, halves};
use blocks::Tq2_0;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Tq2_0>, x: Per256<'_>, results: &mut Results) {
    dot::<2, 32, true, _>(
        level,
        panel,
        x,
        results,
        |blocks| scales(blocks),
        |blocks, out| unpack(blocks, out),
        |blocks, out| unpack(blocks, out),
    );
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(blocks: [&Tq2_0; 8]) -> Scales {
    let d = halves(blocks.map(|block| block.d));
    Scales { scales: [_mm256_set1_epi16(1); 16], d, minimums: Minimums::none() }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<const ALONE: bool>(blocks: [&Tq2_0; 8], out: &mut Out<'_, 2, 32, true, ALONE>) {
    // 0, 1 and 2 are −1, 0 and 1.
    let offset = _mm256_set1_epi8(OFFSET as i8 - 1);
    two_bits(blocks.map(|block| &block.q), out, |_, q| q.map(|q| _mm256_add_epi8(q, offset)));
}
