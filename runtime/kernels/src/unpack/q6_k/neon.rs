//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::neon::{Level, Unpacked, each};
use crate::isa::neon::{halves, nibbles, signed, transpose};
use blocks::Q6K;
use core::arch::aarch64::*;

#[target_feature(enable = "neon")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q6K>, x: Per256<'_>, results: &mut Results) {
    level.multiply::<4, _>(panel, x, results, |blocks, out| unpack(blocks, out));
}

#[inline]
#[target_feature(enable = "neon")]
fn unpack(blocks: [&Q6K; 4], out: &mut Unpacked) {
    let two_bits = vdupq_n_u8(0x30);
    // Bytes i … i + 15 of the low and high bits of a half: four runs of sixteen weights, 32 apart.
    for (half, q) in out.q.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for i in 0..2 {
            let low = |at: usize| blocks.map(|block| &block.low.as_chunks::<16>().0[4 * half + 2 * at + i]);
            let [first, second] = [0, 1].map(|at| nibbles(transpose(low(at))));
            let high = transpose(blocks.map(|block| &block.high.as_chunks::<16>().0[2 * half + i]));
            for j in 0..4 {
                let h = high[j];
                let four = [
                    vorrq_u8(first[j], vandq_u8(vshlq_n_u8::<4>(h), two_bits)),
                    vorrq_u8(second[j], vandq_u8(vshlq_n_u8::<2>(h), two_bits)),
                    vorrq_u8(first[j + 4], vandq_u8(h, two_bits)),
                    vorrq_u8(second[j + 4], vandq_u8(vshrq_n_u8::<2>(h), two_bits)),
                ];
                for (k, weights) in signed(four, 32).into_iter().enumerate() {
                    q[4 * i + j + 8 * k] = weights;
                }
            }
        }
    }
    out.scales = each(blocks.map(|block| &block.scales));
    out.d = halves(blocks.map(|block| block.d));
}
