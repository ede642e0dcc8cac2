//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::neon::{Level, Minimums, Unpacked};
use crate::isa::neon::{halves, nibbles, signed, transpose};
use blocks::Q4K;
use core::arch::aarch64::*;

#[target_feature(enable = "neon")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q4K>, x: Per256<'_>, results: &mut Results) {
    level.multiply::<8, _>(panel, x, results, |blocks, out| unpack(blocks, out));
}

#[inline]
#[target_feature(enable = "neon")]
fn unpack(blocks: [&Q4K; 4], out: &mut Unpacked) {
    let sixteens = blocks.map(bytemuck::cast_ref::<Q4K, [[u8; 16]; 9]>);
    for (chunk, q) in out.q.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        for half in 0..2 {
            let four_bits = signed(nibbles(transpose(sixteens.map(|block| &block[1 + 2 * chunk + half]))), 0);
            q[4 * half..][..4].copy_from_slice(&four_bits[..4]);
            q[4 * half + 8..][..4].copy_from_slice(&four_bits[4..]);
        }
    }
    let (scales, min) = scales_and_minimums(sixteens.map(|block| &block[0]));
    out.scales = scales;
    out.d = halves(blocks.map(|block| block.d));
    out.minimums = Some(Minimums { min, dmin: halves(blocks.map(|block| block.dmin)) });
}

/// From the first sixteen bytes of each block: the eight scales and the eight minimums, each twice.
#[inline]
#[target_feature(enable = "neon")]
pub(in crate::unpack) fn scales_and_minimums(heads: [&[u8; 16]; 4]) -> ([int32x4_t; 16], [int32x4_t; 16]) {
    // Four scales or minimums of a row in its lane, a byte each.
    let [_, scales, min, low] = transpose(heads);
    let (six, four, two) = (vdupq_n_u8(0x3f), vdupq_n_u8(0x0f), vdupq_n_u8(0x30));
    let top = |x| vandq_u8(vshrq_n_u8::<2>(x), two);
    let scales = [vandq_u8(scales, six), vorrq_u8(vandq_u8(low, four), top(scales))];
    let min = [vandq_u8(min, six), vorrq_u8(vshrq_n_u8::<4>(low), top(min))];
    (twice(scales), twice(min))
}

/// Each of a lane's bytes in turn, two times.
#[inline]
#[target_feature(enable = "neon")]
fn twice(bytes: [uint8x16_t; 2]) -> [int32x4_t; 16] {
    std::array::from_fn(|i| {
        let down = vdupq_n_s32(-8 * (i as i32 / 2 % 4));
        let byte = vshlq_u32(vreinterpretq_u32_u8(bytes[i / 8]), down);
        vreinterpretq_s32_u32(vandq_u32(byte, vdupq_n_u32(0xff)))
    })
}
