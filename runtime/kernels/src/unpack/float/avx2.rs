//! See the parent.

use super::{Panel, Results};
use crate::activations::Floats;
use crate::dot::float::avx2::{ROWS, multiply as dot};
use crate::isa::avx2::{load_16, transpose};
use blocks::{Bf16, F16, F32};
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_f32(_: impl Copy, panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    dot::<4, _>(panel, x, results, |rows| {
        let mut columns = [[_mm256_setzero_ps(); 2]; 4];
        for (group, rows) in eights(rows).into_iter().enumerate() {
            for (columns, column) in columns.iter_mut().zip(transpose(rows)) {
                columns[group] = _mm256_castsi256_ps(column);
            }
        }
        columns
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_f16(_: impl Copy, panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    dot::<8, _>(panel, x, results, |rows| halves(rows));
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_bf16(_: impl Copy, panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    dot::<8, _>(panel, x, results, |rows| {
        let mut columns = [[_mm256_setzero_ps(); 2]; 8];
        for (group, rows) in eights(rows).into_iter().enumerate() {
            for (columns, two) in columns.as_chunks_mut::<2>().0.iter_mut().zip(transpose(rows)) {
                let second = _mm256_and_si256(two, _mm256_set1_epi32(0xffff_0000_u32 as i32));
                columns[0][group] = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(two));
                columns[1][group] = _mm256_castsi256_ps(second);
            }
        }
        columns
    });
}

/// The first eight rows, and the others.
#[inline(always)]
fn eights([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: [&[u8; 16]; ROWS]) -> [[&[u8; 16]; 8]; 2] {
    [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]]
}

/// Eight halves of sixteen rows, turned and as floats: all rows at once, so that what turns one half of a vector turns the other.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn halves(rows: [&[u8; 16]; ROWS]) -> [[__m256; 2]; 8] {
    let [low, high] = eights(rows);
    // Row r and row r + 8.
    let row = |r: usize| _mm256_set_m128i(load_16(high[r]), load_16(low[r]));
    let twos = [0, 2, 4, 6].map(|r| {
        let (a, b) = (row(r), row(r + 1));
        [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)]
    });
    // Two columns of four rows.
    let fours = [0, 2].map(|r| {
        let ([a, b], [c, d]) = (twos[r], twos[r + 1]);
        let (ac, ac_high) = (_mm256_unpacklo_epi32(a, c), _mm256_unpackhi_epi32(a, c));
        [ac, ac_high, _mm256_unpacklo_epi32(b, d), _mm256_unpackhi_epi32(b, d)]
    });
    let mut columns = [[_mm256_setzero_ps(); 2]; 8];
    for (two, columns) in columns.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let (first, rest) = (fours[0][two], fours[1][two]);
        let both = [_mm256_unpacklo_epi64(first, rest), _mm256_unpackhi_epi64(first, rest)];
        for (column, halves) in columns.iter_mut().zip(both) {
            column[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(halves));
            column[1] = _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(halves));
        }
    }
    columns
}
