//! Digits are not computed but compared: a byte less 128 is a fraction of 256 between −½ and ½ whose first digit, less one,
//! says whether it lies below −42, above 42 or between, and times three, which wraps around, it is that of the next digits.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, OFFSET, Out, Scales, multiply as dot};
use crate::isa::avx2::{Level, halves, ints, transpose};
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
        |blocks, out| unpack(blocks, out),
        |blocks, out| unpack(blocks, out),
    );
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales(blocks: [&Tq1_0; 8]) -> Scales {
    let d = halves(blocks.map(|block| block.d));
    Scales { scales: [_mm256_set1_epi8(1); 4], d, minimums: Minimums::none() }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<const ALONE: bool>(blocks: [&Tq1_0; 8], out: &mut Out<'_, 2, 32, true, ALONE>) {
    let [a, b, c] = [0, 1, 2].map(|at| transpose(blocks.map(|block| &block.q.as_chunks().0[at])));
    five::<0, 2, ALONE>(a, out);
    five::<1, 2, ALONE>(b, out);
    five::<10, 1, ALONE>(c, out);
    let first = less_128(ints(blocks.map(|block| block.last)));
    let second = times_3(first);
    let third = times_3(second);
    out.put(15, [first, second, third, times_3(third)].map(|x| digit(x)));
}

/// The digits of sixteen bytes of each row: five runs of sixteen weights, `EVERY` apart.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn five<const FIRST: usize, const EVERY: usize, const ALONE: bool>(
    bytes: [__m256i; 4],
    out: &mut Out<'_, 2, 32, true, ALONE>,
) {
    let mut x = bytes.map(|x| less_128(x));
    for n in 0..5 {
        out.put(FIRST + EVERY * n, x.map(|x| digit(x)));
        x = x.map(|x| times_3(x));
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn less_128(x: __m256i) -> __m256i {
    _mm256_xor_si256(x, _mm256_set1_epi8(-128))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn times_3(x: __m256i) -> __m256i {
    _mm256_add_epi8(x, _mm256_add_epi8(x, x))
}

/// −1, 0 or 1, and [`OFFSET`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn digit(x: __m256i) -> __m256i {
    let (not_low, high) =
        (_mm256_cmpgt_epi8(x, _mm256_set1_epi8(-43)), _mm256_cmpgt_epi8(x, _mm256_set1_epi8(42)));
    // What holds is −1.
    let lowest = _mm256_set1_epi8(OFFSET as i8 - 1);
    _mm256_sub_epi8(_mm256_sub_epi8(lowest, not_low), high)
}
