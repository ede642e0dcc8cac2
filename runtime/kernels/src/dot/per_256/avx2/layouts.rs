//! Ways from a block to [`Out`] that several formats take.

use super::Out;
use crate::isa::avx2::transpose;
use core::arch::x86_64::*;

/// Two bits of each weight, laid out as in Q2_K: each sixteen bytes have those of four runs of sixteen weights, 32 apart. `with`
/// gets them with the number of the run, and makes of them what is put. Every second run comes [`TIMES`] as large, since it
/// was not shifted: see [`evened`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn two_bits<const BITS: u32, const GROUP: usize, const SHIFTED: bool, const ALONE: bool>(
    rows: [&[u8; 64]; 8],
    out: &mut Out<'_, BITS, GROUP, SHIFTED, ALONE>,
    with: impl Fn(usize, u8, [__m256i; 4]) -> [__m256i; 4],
) {
    // One after the other, not a loop: an address is a row's and a number then, and eight rows fill the registers.
    sixteen_bytes::<0, _, _, _, _>(rows, out, &with);
    sixteen_bytes::<1, _, _, _, _>(rows, out, &with);
    sixteen_bytes::<2, _, _, _, _>(rows, out, &with);
    sixteen_bytes::<3, _, _, _, _>(rows, out, &with);
}

/// How large the runs of [`two_bits`] come, by turns.
pub(crate) const TIMES: [u8; 2] = [1, 4];

/// Scales for weights of [`two_bits`] of which all are [`TIMES`]'s larger as large: those of runs that come as they are, the first two
/// of every four, times 4. They fill six bits, with a sign or without.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn evened(scales: [__m256i; 4]) -> [__m256i; 4] {
    scales.map(|scales| {
        let times = _mm256_and_si256(_mm256_slli_epi16::<2>(scales), _mm256_set1_epi8(-4));
        _mm256_blend_epi16::<0x55>(scales, times)
    })
}

/// Those of sixteen bytes of each row.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sixteen_bytes<
    const AT: usize,
    const BITS: u32,
    const GROUP: usize,
    const SHIFTED: bool,
    const ALONE: bool,
>(
    rows: [&[u8; 64]; 8],
    out: &mut Out<'_, BITS, GROUP, SHIFTED, ALONE>,
    with: impl Fn(usize, u8, [__m256i; 4]) -> [__m256i; 4],
) {
    let low = transpose(rows.map(|row| &row.as_chunks().0[AT]));
    let high = low.map(|x| _mm256_srli_epi16::<4>(x));
    let first = AT / 2 * 8 + AT % 2;
    let mut put = |at: usize, times: u8, bytes: [__m256i; 4]| {
        let two = _mm256_set1_epi8(3 * times as i8);
        out.put(at, with(at, times, bytes.map(|x| _mm256_and_si256(x, two))));
    };
    // Nor here a loop: not all of it is taken apart, and what depends on the run is computed.
    let [one, more] = TIMES;
    put(first, one, low);
    put(first + 2, more, low);
    put(first + 4, one, high);
    put(first + 6, more, high);
}
