//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, Out, Scales, TIMES, evened, multiply as dot, two_bits};
use crate::isa::avx2::{Level, high_halves, ints, low_halves, transpose};
use blocks::Q2K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(_: impl Level, panel: Panel<'_, Q2K>, x: Per256<'_>, results: &mut Results) {
    product(panel, x, results);
}

#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn product(panel: Panel<'_, Q2K>, x: Per256<'_>, results: &mut Results) {
    dot::<4, 16, false, _>(
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
fn scales(blocks: [&Q2K; 8]) -> Scales {
    let four = _mm256_set1_epi8(15);
    let both = transpose(blocks.map(|block| &block.scales));
    let min = both.map(|both| _mm256_and_si256(_mm256_srli_epi16::<4>(both), four));
    // Two halves of each row in its lane.
    let last = ints(blocks.map(|block| *bytemuck::bytes_of(block).last_chunk().expect("84 bytes")));
    let scales = evened(both.map(|both| _mm256_and_si256(both, four)));
    let d = _mm256_mul_ps(low_halves(last), _mm256_set1_ps(1.0 / f32::from(TIMES[1])));
    let dmin = high_halves(last);
    Scales { scales, d, minimums: Minimums { min, dmin } }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<const ALONE: bool>(blocks: [&Q2K; 8], out: &mut Out<'_, 4, 16, false, ALONE>) {
    two_bits(blocks.map(|block| &block.q), out, |_, _, q| q);
}
