//! See the parent.

use super::scalar::unpack;
use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, Scales, multiply as dot, turn};
use crate::isa::avx2::{Level, halves};
use blocks::Tq1_0;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(_: impl Level, panel: Panel<'_, Tq1_0>, x: Per256<'_>, results: &mut Results) {
    product(panel, x, results);
}

#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn product(panel: Panel<'_, Tq1_0>, x: Per256<'_>, results: &mut Results) {
    dot::<2, 32, true, _>(
        panel,
        x,
        results,
        |blocks| scales(blocks),
        |blocks, out| turn::<2, 32, true>(&blocks.map(unpack), out),
        |blocks, out| turn::<2, 32, false>(&blocks.map(unpack), out),
    );
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(blocks: [&Tq1_0; 8]) -> Scales {
    let d = halves(blocks.map(|block| block.d));
    Scales { scales: [_mm256_set1_epi8(1); 4], d, minimums: Minimums::none() }
}
