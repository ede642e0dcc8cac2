//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, Unpacked, multiply as dot};
use crate::isa::avx2::{Level, halves, nibbles, transpose};
use crate::unpack::q4_k::avx2::scales_and_minimums;
use blocks::Q5K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q5K>, x: Per256<'_>, results: &mut Results) {
    dot::<5, 32, 0, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(blocks: [&Q5K; 8], out: &mut Unpacked) {
    let sixteens = blocks.map(bytemuck::cast_ref::<Q5K, [[u8; 16]; 11]>);
    let high = [1, 2].map(|at| transpose(sixteens.map(|block| &block[at])));
    for (chunk, q) in out.q.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        for (half, high) in high.iter().enumerate() {
            let low = nibbles(transpose(sixteens.map(|block| &block[3 + 2 * chunk + half])));
            for j in 0..4 {
                q[4 * half + j] = add_bit(low[j], high[j], 2 * chunk);
                q[4 * half + j + 8] = add_bit(low[j + 4], high[j], 2 * chunk + 1);
            }
        }
    }
    let (scales, min) = scales_and_minimums(sixteens.map(|block| &block[0]));
    out.scales = scales;
    out.d = halves(blocks.map(|block| block.d));
    out.minimums = Some(Minimums { min, dmin: halves(blocks.map(|block| block.dmin)) });
}

/// Adds 16 to the bytes of `low` where bit `bit` of `high` is set.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_bit(low: __m256i, high: __m256i, bit: usize) -> __m256i {
    let mask = _mm256_set1_epi8(1_u8.wrapping_shl(bit as u32) as i8);
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(high, mask), mask);
    _mm256_or_si256(low, _mm256_and_si256(set, _mm256_set1_epi8(16)))
}
