//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::neon::{Level, Minimums, Unpacked};
use crate::isa::neon::{halves, nibbles, signed, transpose};
use crate::unpack::q4_k::neon::scales_and_minimums;
use blocks::Q5K;
use core::arch::aarch64::*;

#[target_feature(enable = "neon")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q5K>, x: Per256<'_>, results: &mut Results) {
    level.multiply::<8, _>(panel, x, results, |blocks, out| unpack(blocks, out));
}

#[inline]
#[target_feature(enable = "neon")]
fn unpack(blocks: [&Q5K; 4], out: &mut Unpacked) {
    let sixteens = blocks.map(bytemuck::cast_ref::<Q5K, [[u8; 16]; 11]>);
    let high = [1, 2].map(|at| transpose(sixteens.map(|block| &block[at])));
    for (chunk, q) in out.q.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        for (half, high) in high.iter().enumerate() {
            let low = nibbles(transpose(sixteens.map(|block| &block[3 + 2 * chunk + half])));
            for j in 0..4 {
                let both = [add_bit(low[j], high[j], 2 * chunk), add_bit(low[j + 4], high[j], 2 * chunk + 1)];
                [q[4 * half + j], q[4 * half + j + 8]] = signed(both, 0);
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
#[target_feature(enable = "neon")]
fn add_bit(low: uint8x16_t, high: uint8x16_t, bit: usize) -> uint8x16_t {
    let set = vtstq_u8(high, vdupq_n_u8(1_u8.wrapping_shl(bit as u32)));
    vorrq_u8(low, vandq_u8(set, vdupq_n_u8(16)))
}
