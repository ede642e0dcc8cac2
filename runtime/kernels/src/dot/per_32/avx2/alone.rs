//! A token alone: sixteen columns of two rows are a vector, and what is turned for eight rows is not their weights but what their
//! products come to, which is a quarter as much.
//!
//! From the caches of a Zen 3 a core reads Q4_0 with 22.0 GB/s where it read 17.3 with the weights turned, Q4_1 with 22.8 (18.2), Q8_0
//! with 28.8 (22.8), IQ4_NL with 14.6 (11.1), MXFP4 as before. Of its four pipes for vectors three add, blend and mask, two of these
//! multiply, and the fourth shuffles, shifts and converts with one of the three: additions alone come to 2.9 a cycle, products
//! with as many additions to 2.5. So sums are turned by shuffles and additions (18.4 by products with ones and packing), and scales are
//! brought together by shuffles (19.1 by blends of what lies around them). Addresses of eight rows, each in a register of its own,
//! had most of them fetched from the stack again (19.7). Tried without gain: weights fetched into the first cache a run ahead, the
//! order of instructions written down. All that a group needs is there in 16 cycles of a loop without memory, in which 144 bytes are
//! 29 GB/s.
//!
//! A core has ten to sixteen places for lines on their way, and only what its own prefetch follows needs none of them; that follows streams, not
//! sixteen rows of half a page each. Two threads of a Xeon (model 207) read from memory,
//! of what loops do there, Q4_0 with 0.81, Q4_1 with 0.84 and Q8_0 with 0.85 (`speed avx512 2`, medians of six by turns) where sixteen rows at
//! a time, with the next sixteen fetched from eight places, came to 0.75, 0.74 and 0.84; and a core from the caches 22.2, 23.2 and 36.9 GB/s
//! for 20.3, 21.7 and 33.2 (`cached avx512`, best of six), IQ4_NL as before: a line is fetched by one instruction, and no second sum is held.
//! Sixteen streams of two rows lost. On a Zen 3 this was not measured.

use super::{Scales, TILE_BLOCKS, added};
use crate::activations::{Per32, Run32};
use crate::isa::avx2::{Level, broadcast_2, load_16, load_floats, store_floats};
use crate::unpack::{PANEL_ROWS, Panel};
use blocks::Block;
use core::arch::x86_64::*;

/// Adds products of rows, as many as there are eights of, while what they come to next is fetched; how many eights that were. Each of a
/// vector's lanes takes as many rows as that, one after the other, as they lie in the file: memory is read as eight streams.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply<const BITS: u32, const OFFSET: i32, B: Block, L: Level>(
    level: L,
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut [f32; PANEL_ROWS],
    pair: impl Fn([&B; 2]) -> [__m256i; 2],
    scales: impl Fn([&B; 8]) -> Scales,
) -> usize {
    let (n, n_blocks) = (panel.n_rows() / 8, x.n_cols() / 32);
    for turn in 0..n {
        let rows = panel.eight(turn, n);
        let mut acc = load_floats(&std::array::from_fn(|lane| results[lane * n + turn]));
        for run in 0..x.n_runs() {
            let first = run * TILE_BLOCKS;
            let x = &x.at(run)[0];
            let mut ahead = rows.ahead(first, TILE_BLOCKS);
            for b in 0..TILE_BLOCKS.min(n_blocks - first) {
                const { assert!(TILE_BLOCKS == 8, "with each block a row's next eight are fetched") };
                ahead.fetch();
                let columns = Columns::of::<BITS, OFFSET>(level, x, b);
                let blocks = rows.blocks(first + b);
                let [r0, r1, r2, r3, r4, r5, r6, r7] = blocks;
                let q = [[r0, r4], [r1, r5], [r2, r6], [r3, r7]].map(&pair);
                let sum = columns.sum::<BITS, OFFSET>(level, q);
                let Scales { d, m } = scales(blocks);
                let (x_d, x_s) = (_mm256_set1_ps(x.d[b]), _mm256_set1_ps(x.s[b]));
                acc = added(acc, sum, (d, x_d), m.map(|m| (m, x_s)));
            }
        }
        let mut sums = [0.0; 8];
        store_floats(&mut sums, acc);
        for (lane, sum) in sums.into_iter().enumerate() {
            results[lane * n + turn] = sum;
        }
    }
    n
}

/// A block of the token.
struct Columns {
    /// Its first sixteen columns twice, and the other sixteen.
    q: [__m256i; 2],
    /// What repays what was added to each weight.
    repaid: __m256i,
}

impl Columns {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn of<const BITS: u32, const OFFSET: i32>(level: impl Level, x: &Run32, b: usize) -> Self {
        let q = bytemuck::cast_ref::<_, [[u8; 16]; 2]>(&x.q[b]);
        let q = q.each_ref().map(|q| _mm256_broadcastsi128_si256(load_16(q)));
        let repaid = match level.dots() {
            Some(_) => _mm256_set1_epi32(x.sums[b] * if BITS == 8 { -128 } else { -OFFSET }),
            None => _mm256_mullo_epi16(broadcast_2(&x.offsets[b]), _mm256_set1_epi16(OFFSET as i16 / 8)),
        };
        Self { q, repaid }
    }

    /// Sums of products of eight rows, of which rows `i` and `i + 4` are a pair.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn sum<const BITS: u32, const OFFSET: i32>(
        &self,
        level: impl Level,
        pairs: [[__m256i; 2]; 4],
    ) -> __m256i {
        let ([low, high], ones) = (self.q, _mm256_set1_epi16(1));
        let in_32 = |a, b| _mm256_add_epi32(a, b);
        if let Some(dots) = level.dots() {
            let none = _mm256_setzero_si256();
            let sums = pairs.map(|q| {
                // The sign's bit flipped adds 128.
                let [a, b] = q.map(|q| match BITS {
                    8 => _mm256_xor_si256(q, _mm256_set1_epi8(-128)),
                    _ => q,
                });
                dots.add_products_of_8(dots.add_products_of_8(none, a, low), b, high)
            });
            let sum = turned(sums, in_32);
            if BITS == 8 || OFFSET != 0 { _mm256_add_epi32(sum, self.repaid) } else { sum }
        } else if BITS == 8 {
            // Two products of signed bytes fit 16 bits (2 · 128 · 127).
            let wide = |q, x| {
                _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(x, q)), ones)
            };
            turned(pairs.map(|[a, b]| _mm256_add_epi32(wide(a, low), wide(b, high))), in_32)
        } else {
            let sums = pairs
                .map(|[a, b]| _mm256_add_epi16(_mm256_maddubs_epi16(a, low), _mm256_maddubs_epi16(b, high)));
            // Sixteen of four bits fit (16 · 15 · 127 = 30 480). With five they overflow and come back, as what repays the offset
            // leaves −16 … 15 (16 · 16 · 127 = 32 512).
            const { assert!(BITS <= 4 || BITS == 8 || OFFSET == 16, "what 16 bits hold") };
            let mut sum = turned(sums, |a, b| _mm256_add_epi16(a, b));
            if OFFSET != 0 {
                sum = _mm256_add_epi16(sum, self.repaid);
            }
            _mm256_madd_epi16(sum, ones)
        }
    }
}

/// Adds lanes of 32 bits of four pairs of rows until each row has one, in the order of the rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn turned([a, b, c, d]: [__m256i; 4], add: impl Fn(__m256i, __m256i) -> __m256i) -> __m256i {
    let ab = add(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let cd = add(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    add(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd))
}
