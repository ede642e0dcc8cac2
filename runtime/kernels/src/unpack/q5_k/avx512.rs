//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx512::alone::{self, Row};
use crate::dot::per_256::avx512::{Layout, Unpacked, add_bits_in_order, multiply as dot};
use crate::isa::avx512::{Avx512, nibbles, transpose};
use crate::unpack::q4_k::avx512::{beside, nibbles_in_order, scales_and_minimums};
use blocks::Q5K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Q5K>, x: Per256<'_>, results: &mut Results) {
    if let [alone] = results {
        return alone::multiply::<Five, _>(
            panel,
            x,
            alone,
            |block| columns(block),
            |blocks, scales| beside(blocks, scales),
        );
    }
    dot::<Five, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

struct Five;

impl Layout for Five {
    const OFFSET: i32 = 16;
    const STEPS: usize = 4;
    const NARROW: bool = true;
    const MINIMUMS: usize = 8;
}

impl Row for Five {
    const GROUP: usize = 32;
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn columns(block: &Q5K) -> [__m512i; 4] {
    add_bits_in_order::<16>(nibbles_in_order(&block.low), &block.high)
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Q5K; 16], out: &mut Unpacked) {
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
    scales_and_minimums::<Five>(sixteens.map(|block| &block[0]), out);
}

/// Adds 16 to the bytes of `low` where bit `bit` of `high` is set.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn add_bit(low: __m512i, high: __m512i, bit: usize) -> __m512i {
    let set = _mm512_test_epi8_mask(high, _mm512_set1_epi8(1_u8.wrapping_shl(bit as u32) as i8));
    _mm512_mask_add_epi8(low, set, low, _mm512_set1_epi8(16))
}
