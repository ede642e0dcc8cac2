//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Out, Scales, multiply as dot};
use crate::isa::avx2::{Level, nibbles, transpose};
use crate::unpack::q4_k::avx2::scales_and_minimums;
use blocks::Q5K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(_: impl Level, panel: Panel<'_, Q5K>, x: Per256<'_>, results: &mut Results) {
    product(panel, x, results);
}

#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn product(panel: Panel<'_, Q5K>, x: Per256<'_>, results: &mut Results) {
    dot::<5, 32, false, _>(
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
fn scales(blocks: [&Q5K; 8]) -> Scales {
    scales_and_minimums(blocks.map(|block| bytemuck::bytes_of(block).first_chunk().expect("176 bytes")))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<const ALONE: bool>(blocks: [&Q5K; 8], out: &mut Out<'_, 5, 32, false, ALONE>) {
    let sixteens = blocks.map(bytemuck::cast_ref::<Q5K, [[u8; 16]; 11]>);
    let high = [1, 2].map(|at| transpose(sixteens.map(|block| &block[at])));
    chunk::<0, ALONE>(sixteens, high, out);
    chunk::<1, ALONE>(sixteens, high, out);
    chunk::<2, ALONE>(sixteens, high, out);
    chunk::<3, ALONE>(sixteens, high, out);
}

/// 32 bytes: 32 low nibbles, then 32 high ones, and two bits of each byte of `high`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn chunk<const AT: usize, const ALONE: bool>(
    sixteens: [&[[u8; 16]; 11]; 8],
    high: [[__m256i; 4]; 2],
    out: &mut Out<'_, 5, 32, false, ALONE>,
) {
    for half in 0..2 {
        let low = nibbles(transpose(sixteens.map(|block| &block[3 + 2 * AT + half])));
        let (mut first, mut second) = ([low[0]; 4], [low[4]; 4]);
        for (j, &high) in high[half].iter().enumerate() {
            first[j] = add_bit(low[j], high, 2 * AT);
            second[j] = add_bit(low[j + 4], high, 2 * AT + 1);
        }
        out.put(4 * AT + half, first);
        out.put(4 * AT + half + 2, second);
    }
}

/// Adds 16 to the bytes of `low` where bit `bit` of `high` is set.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_bit(low: __m256i, high: __m256i, bit: usize) -> __m256i {
    let mask = _mm256_set1_epi8(1_u8.wrapping_shl(bit as u32) as i8);
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(high, mask), mask);
    _mm256_or_si256(low, _mm256_and_si256(set, _mm256_set1_epi8(16)))
}
