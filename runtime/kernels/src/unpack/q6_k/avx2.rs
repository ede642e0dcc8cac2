//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Unpacked, multiply as dot, pairs};
use crate::isa::avx2::{Level, halves, nibbles, transpose};
use blocks::Q6K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q6K>, x: Per256<'_>, results: &mut Results) {
    dot::<6, 16, 32, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(blocks: [&Q6K; 8], out: &mut Unpacked) {
    let two_bits = _mm256_set1_epi8(0x30);
    // Bytes i … i + 15 of the low and high bits of a half: four runs of sixteen weights, 32 apart.
    for (half, q) in out.q.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for i in 0..2 {
            let low = |at: usize| blocks.map(|block| &block.low.as_chunks::<16>().0[4 * half + 2 * at + i]);
            let [first, second] = [0, 1].map(|at| nibbles(transpose(low(at))));
            let high = transpose(blocks.map(|block| &block.high.as_chunks::<16>().0[2 * half + i]));
            for j in 0..4 {
                let h = high[j];
                let at = |high| _mm256_and_si256(high, two_bits);
                q[4 * i + j] = _mm256_or_si256(first[j], at(_mm256_slli_epi16::<4>(h)));
                q[4 * i + j + 8] = _mm256_or_si256(second[j], at(_mm256_slli_epi16::<2>(h)));
                q[4 * i + j + 16] = _mm256_or_si256(first[j + 4], at(h));
                q[4 * i + j + 24] = _mm256_or_si256(second[j + 4], at(_mm256_srli_epi16::<2>(h)));
            }
        }
    }
    out.scales = pairs(transpose(blocks.map(|block| bytemuck::cast_ref(&block.scales))));
    out.d = halves(blocks.map(|block| block.d));
}
