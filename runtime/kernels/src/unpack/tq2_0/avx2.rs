//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, OFFSET, Out, Scales, TIMES, multiply as dot, two_bits};
use crate::isa::avx2::{Level, halves};
use blocks::Tq2_0;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(_: impl Level, panel: Panel<'_, Tq2_0>, x: Per256<'_>, results: &mut Results) {
    product(panel, x, results);
}

#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn product(panel: Panel<'_, Tq2_0>, x: Per256<'_>, results: &mut Results) {
    dot::<4, 32, true, _>(
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
    let [one, times] = TIMES.map(i16::from);
    let d = _mm256_mul_ps(halves(blocks.map(|block| block.d)), _mm256_set1_ps(1.0 / f32::from(times)));
    let scales = [_mm256_set1_epi16(times | one << 8); 4];
    Scales { scales, d, minimums: Minimums::none() }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<const ALONE: bool>(blocks: [&Tq2_0; 8], out: &mut Out<'_, 4, 32, true, ALONE>) {
    // 0, 1 and 2 are −1, 0 and 1.
    two_bits(blocks.map(|block| &block.q), out, |_, times, q| {
        q.map(|q| _mm256_add_epi8(q, _mm256_set1_epi8((OFFSET - times) as i8)))
    });
}
