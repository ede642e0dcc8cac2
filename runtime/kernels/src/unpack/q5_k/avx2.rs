//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, Out, Scales, multiply as dot};
use crate::isa::avx2::{Level, halves, nibbles, transpose};
use crate::unpack::q4_k::avx2::scales_and_minimums;
use blocks::Q5K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q5K>, x: Per256<'_>, results: &mut Results) {
    dot::<5, 32, 0, _>(
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
fn scales(blocks: [&Q5K; 8]) -> Scales {
    let (scales, min) =
        scales_and_minimums(blocks.map(|block| bytemuck::bytes_of(block).first_chunk().expect("176 bytes")));
    let (d, dmin) = (halves(blocks.map(|block| block.d)), halves(blocks.map(|block| block.dmin)));
    Scales { scales, d, minimums: Some(Minimums { min, dmin }) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<const ALONE: bool>(blocks: [&Q5K; 8], out: &mut Out<'_, 5, 32, ALONE>) {
    let sixteens = blocks.map(bytemuck::cast_ref::<Q5K, [[u8; 16]; 11]>);
    let high = [1, 2].map(|at| transpose(sixteens.map(|block| &block[at])));
    for i in 0..8 {
        let (chunk, half) = (i / 2, i % 2);
        let low = nibbles(transpose(sixteens.map(|block| &block[3 + i])));
        let (mut first, mut second) = ([low[0]; 4], [low[4]; 4]);
        for (j, &high) in high[half].iter().enumerate() {
            first[j] = add_bit(low[j], high, 2 * chunk);
            second[j] = add_bit(low[j + 4], high, 2 * chunk + 1);
        }
        out.put(4 * chunk + half, first);
        out.put(4 * chunk + half + 2, second);
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
