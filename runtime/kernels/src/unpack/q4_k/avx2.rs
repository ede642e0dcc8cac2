//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{Minimums, Out, Scales, multiply as dot};
use crate::isa::avx2::{Level, halves, nibbles, transpose};
use blocks::Q4K;
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q4K>, x: Per256<'_>, results: &mut Results) {
    dot::<4, 32, 0, _>(
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
fn scales(blocks: [&Q4K; 8]) -> Scales {
    let (scales, min) =
        scales_and_minimums(blocks.map(|block| bytemuck::bytes_of(block).first_chunk().expect("144 bytes")));
    let (d, dmin) = (halves(blocks.map(|block| block.d)), halves(blocks.map(|block| block.dmin)));
    Scales { scales, d, minimums: Some(Minimums { min, dmin }) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<const ALONE: bool>(blocks: [&Q4K; 8], out: &mut Out<'_, 4, 32, ALONE>) {
    let sixteens = blocks.map(bytemuck::cast_ref::<Q4K, [[u8; 16]; 9]>);
    for i in 0..8 {
        let [a, b, c, d, e, f, g, h] = nibbles(transpose(sixteens.map(|block| &block[1 + i])));
        out.put(i / 2 * 4 + i % 2, [a, b, c, d]);
        out.put(i / 2 * 4 + i % 2 + 2, [e, f, g, h]);
    }
}

/// From the first sixteen bytes of each block: the eight scales and the eight minimums, each twice in its lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::unpack) fn scales_and_minimums(heads: [&[u8; 16]; 8]) -> ([__m256i; 8], [__m256i; 8]) {
    // Four scales or minimums of a row in its lane, a byte each.
    let [_, scales, min, low] = transpose(heads);
    let (six, four, two) = (_mm256_set1_epi8(0x3f), _mm256_set1_epi8(0x0f), _mm256_set1_epi8(0x30));
    let top = |x| _mm256_and_si256(_mm256_srli_epi16::<2>(x), two);
    let scales = [_mm256_and_si256(scales, six), _mm256_or_si256(_mm256_and_si256(low, four), top(scales))];
    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(low), four);
    let min = [_mm256_and_si256(min, six), _mm256_or_si256(high, top(min))];
    (twice(scales), twice(min))
}

/// Each of a lane's bytes in turn as two equal numbers of 16 bits.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn twice(bytes: [__m256i; 2]) -> [__m256i; 8] {
    std::array::from_fn(|i| {
        // Byte i of lane 0, nothing, the same again; in the next lane four further on.
        let byte = i as i64 % 4;
        let low = 0x8004_8004_8000_8000_u64 as i64 + byte * 0x0001_0001_0001_0001;
        let high = low + 0x0008_0008_0008_0008;
        _mm256_shuffle_epi8(bytes[i / 4], _mm256_set_epi64x(high, low, high, low))
    })
}
