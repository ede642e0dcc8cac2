//! Eight rows at a time, a row a lane; four columns of each are a step. Products are summed in 16 bits as long as they
//! fit (8 · 2 · 15 · 127 = 30 480 for four bits, and see [`OFFSET`]), and the multiplication by a group's scale is the one
//! that widens them.
//!
//! Dot products of bytes bring nothing here: with AVX-VNNI's, as AVX-512 uses its own, Q4_K came to 190 · 10⁹ multiply-adds a
//! second on two cores where this comes to 235 (IQ4_XS 200 for 146, but a token alone read 15 GB/s for 20).
//!
//! On one core of a Zen 3, whose peak is 164 · 10⁹, a step of three tokens with a tile in the first cache comes to 120 with Q4_K,
//! 114 with Q5_K and 118 with Q6_K. Q6_K came to 93 where a group's products were widened twice and what the offset adds was
//! taken away at the end, and to 108 where it was multiplied here and not when activations are packed. Q4_K came to 113 with
//! minimums as eight pairs of equal numbers, to 88 with minimums as floats, and would come to 134 without; four tokens a step
//! made no difference, two tokens a step or one group of eight rows lost a twelfth, though loops of nothing but products
//! with such shapes win as much. Sums by reference in nested loops, which the compiler left in memory, took Q6_K from 0.50 of the peak
//! to 0.33.
//!
//! Products and the additions that follow them share the processor's ports: a loop of nothing else comes to 164 with an addition for
//! each product, to 205 with one for every second, and to between 130 and 163 by the order of the same instructions and the
//! registers that they name. So a step's are written down ([`crate::isa::avx2::add_pairs`]), which took Q4_K from 114 to 118 (126 tokens, the best of many runs by
//! turns), Q2_K from 102 to 104, Q6_K from 108 to 111. Lost beside it: four tokens a step, whose sums go through memory (Q4_K 106,
//! Q2_K 92); a step as a function that stays one, as `inline(never)` here does not make it, since the call may unwind past
//! closures (Q6_K 105 for 108); two sixteens of Q2_K side by side in 16 bits, multiplied by their scales at once, with activations a second time in
//! that order (Q2_K 103; Q4_K 113 for 118, as a run of 704 bytes for 448 goes through the first cache).
//!
//! A token alone waits for instructions: three of them a cycle, of which one of three is neither product nor sum. Scales widened as they
//! are used and not before (24 vectors to memory and back), one copy of a format for both levels, so that all of it is
//! one loop, and every second shift of two bits saved took Q2_K from 12.0 to 14.4 GB/s a core, Q4_K from 19.8 to 22.6, Q5_K
//! from 17.1 to 19.6, TQ2_0 from 9.2 to 11.6; Q6_K stayed at 19. Tried and lost: fetching ahead at every sixteen columns and not
//! at every block (a fifteenth less), three bits of Q3_K moved into place by shifts and not by comparing (an eighth less).

mod layouts;
mod scales;
mod sums;

pub(crate) use layouts::{TIMES, evened, two_bits};
pub(crate) use scales::{Minimums, Scales};

use crate::activations::{Per256, Run256};
use crate::isa::avx2::{load_floats, store_floats};
use crate::unpack::{PANEL_ROWS, Panel, Results};
use blocks::Block;
use core::arch::x86_64::*;
use scales::{has_minimums, pairs, twice};
use sums::{add_scaled, scaled};

/// A block of 256 weights `d · scale · (q − offset) − dmin · min` of eight rows, in a tile.
#[derive(Clone, Copy)]
struct Unpacked {
    /// Columns `4j … 4j + 3` of each row in its lane: unsigned for up to six bits, signed for eight.
    q: [__m256i; 64],
    /// The scale of each group of each row in its lane, twice, in 16 bits: groups of sixteen, or of 32, of which there are eight.
    scales: [__m256i; 16],
    d: __m256,
    /// The minimums of groups `2j` and `2j + 1` of each row in its lane, in 16 bits: groups of 32 fill four vectors.
    min: [__m256i; 8],
    dmin: __m256,
}

impl Unpacked {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn nothing() -> Self {
        let (zero, none) = (_mm256_setzero_si256(), _mm256_setzero_ps());
        Self { q: [zero; 64], scales: [zero; 16], d: none, min: [zero; 8], dmin: none }
    }

    /// Takes what stands beside the weights: groups that a type has not are never looked at.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn set_scales<const SIGNED: bool>(&mut self, with: &Scales) {
        for (of_four, &four) in self.scales.as_chunks_mut::<4>().0.iter_mut().zip(&with.scales) {
            for (i, scale) in of_four.iter_mut().enumerate() {
                *scale = twice::<SIGNED>(four, i);
            }
        }
        (self.d, self.dmin) = (with.d, with.minimums.dmin);
        if !SIGNED {
            self.min = pairs(with.minimums.min);
        }
    }
}

/// Added to the weights of types whose own are signed, so that products of unsigned bytes take them. What it adds to a
/// sum of products the sum begins with, negative ([`Run256::offsets`]): 16 bits that overflow on the way come back, and
/// hold what weights of −32 … 31 give (4 · 2 · 32 · 127 = 32 512) where those of 0 … 63 would have to be widened twice as often.
pub(crate) const OFFSET: u8 = 32;

/// Where weights of `BITS` bits with a scale for every `GROUP` (16 or 32) go, `SHIFTED` by [`OFFSET`] or as they are,
/// sixteen columns after sixteen in any order: into a tile; or if there is a token `ALONE`, to be multiplied with it at once. By way of a tile a token alone took a
/// quarter longer (Q4_K from the second cache on Zen 3: 18 and 23 GB/s a core).
pub(crate) struct Out<'a, const BITS: u32, const GROUP: usize, const SHIFTED: bool, const ALONE: bool> {
    tile: &'a mut [__m256i; 64],
    scales: &'a Scales,
    x: &'a Run256,
    sum: __m256i,
}

impl<const BITS: u32, const GROUP: usize, const SHIFTED: bool, const ALONE: bool>
    Out<'_, BITS, GROUP, SHIFTED, ALONE>
{
    /// Takes columns `16at … 16at + 15`, four of each row in its lane.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(crate) fn put(&mut self, at: usize, q: [__m256i; 4]) {
        if ALONE {
            let group = 16 * at / GROUP;
            let four = self.scales.scales[group / 4];
            let scale = if const { has_minimums(BITS, SHIFTED) } {
                twice::<false>(four, group % 4)
            } else {
                twice::<true>(four, group % 4)
            };
            let a = bytemuck::cast_ref(&self.x.q[at]);
            let begin = std::array::from_ref(&self.x.offsets[at]);
            [[self.sum]] =
                add_scaled::<BITS, SHIFTED, 4, 1, 1, 1>([[self.sum]], [&q], [a], [begin], [&scale]);
        } else {
            self.tile.as_chunks_mut().0[at] = q;
        }
    }
}

/// Groups of eight rows in a tile, and tokens of a step: the six sums of a scale's weights, the six of a block and what
/// they are made of are sixteen registers.
const GROUPS: usize = 2;
const STEP_TOKENS: usize = 3;

/// Tiles of a panel: what tokens bring into the first cache is used for all its rows.
const PAIRS: usize = PANEL_ROWS / (8 * GROUPS);

/// For types whose weights are unpacked `SHIFTED` by [`OFFSET`], or as they are; `alone` and `unpack` do so. Called from a function of
/// the format's that is no generic of the level: else there were two of them, and what two call the compiler inlines in neither.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn multiply<const BITS: u32, const GROUP: usize, const SHIFTED: bool, B: Block>(
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut Results,
    scales: impl Fn([&B; 8]) -> Scales,
    alone: impl Fn([&B; 8], &mut Out<'_, BITS, GROUP, SHIFTED, true>),
    unpack: impl Fn([&B; 8], &mut Out<'_, BITS, GROUP, SHIFTED, false>),
) {
    const { assert!(!SHIFTED || (256 >> BITS) >= GROUP / 4, "a sum of shifted weights begins once") };
    if let [results] = results {
        stream::<BITS, GROUP, SHIFTED, B>(panel, x, results, scales, alone);
    } else {
        tile::<BITS, GROUP, SHIFTED, B>(panel, x, results, scales, unpack);
    }
}

/// One token: weights go from the file through registers, while the rows that come next are fetched.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn stream<const BITS: u32, const GROUP: usize, const SHIFTED: bool, B: Block>(
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut [f32; PANEL_ROWS],
    scales: impl Fn([&B; 8]) -> Scales,
    alone: impl Fn([&B; 8], &mut Out<'_, BITS, GROUP, SHIFTED, true>),
) {
    // Nothing is put there.
    let mut tile = [_mm256_setzero_si256(); 64];
    for group in 0..panel.n_rows().div_ceil(8) {
        let rows = panel.group::<8>(8 * group);
        let mut ahead = panel.ahead::<4>(8 * (group + 1), 8);
        let results = &mut results.as_chunks_mut().0[group];
        let mut acc = load_floats(results);
        for b in 0..x.n_runs() {
            // In halves: a block's at once are more lines than can be on their way, and then none (Xeon, model 167, medians of four by
            // turns: Q4_K 0.68 -> 0.73 of the bandwidth, Q6_K 0.73 -> 0.76; with each sixteen columns a little, 0.68 and 0.72).
            ahead.used(4 * size_of::<B>());
            let (blocks, x) = (rows.blocks(b), &x.at(b)[0]);
            let scales = scales(blocks);
            let mut out = Out { tile: &mut tile, scales: &scales, x, sum: _mm256_setzero_si256() };
            alone(blocks, &mut out);
            ahead.used(4 * size_of::<B>());
            let Minimums { min, dmin } = scales.minimums;
            let product = scaled::<BITS, GROUP, SHIFTED>(out.sum, scales.d, &pairs(min), dmin, x);
            acc = _mm256_fmadd_ps(product, _mm256_set1_ps(x.d), acc);
        }
        store_floats(results, acc);
    }
}

/// Several tokens: a block of sixteen rows is unpacked once into a tile, which all tokens use.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<const BITS: u32, const GROUP: usize, const SHIFTED: bool, B: Block>(
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut Results,
    scales: impl Fn([&B; 8]) -> Scales,
    unpack: impl Fn([&B; 8], &mut Out<'_, BITS, GROUP, SHIFTED, false>),
) {
    let mut tile = [[Unpacked::nothing(); GROUPS]; PAIRS];
    let n_pairs = panel.n_rows().div_ceil(8 * GROUPS);
    for b in 0..x.n_runs() {
        for (pair, tile) in tile[..n_pairs].iter_mut().enumerate() {
            for (g, w) in tile.iter_mut().enumerate() {
                let blocks = panel.group::<8>(8 * (GROUPS * pair + g)).blocks(b);
                let scales = scales(blocks);
                if const { has_minimums(BITS, SHIFTED) } {
                    w.set_scales::<false>(&scales);
                } else {
                    w.set_scales::<true>(&scales);
                }
                let (tile, x) = (&mut w.q, &x.at(b)[0]);
                unpack(blocks, &mut Out { tile, scales: &scales, x, sum: _mm256_setzero_si256() });
            }
        }
        let n_steps = results.len().div_ceil(STEP_TOKENS);
        let steps = x.at(b).chunks(STEP_TOKENS).zip(results.chunks_mut(STEP_TOKENS));
        for (i, (x, results)) in steps.enumerate() {
            panel.fetch(b + 1..b + 2, i, n_steps);
            for (pair, tile) in tile[..n_pairs].iter().enumerate() {
                match results.len() {
                    1 => step::<BITS, GROUP, SHIFTED, 1>(tile, x, pair, results),
                    2 => step::<BITS, GROUP, SHIFTED, 2>(tile, x, pair, results),
                    _ => step::<BITS, GROUP, SHIFTED, STEP_TOKENS>(tile, x, pair, results),
                }
            }
        }
    }
}

/// Adds a tile's products with `T` tokens to the results of its rows. A function of its own, so that its registers are
/// its own.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn step<const BITS: u32, const GROUP: usize, const SHIFTED: bool, const T: usize>(
    tile: &[Unpacked; GROUPS],
    x: &[Run256],
    pair: usize,
    results: &mut Results,
) {
    let x: &[Run256; T] = x.first_chunk().expect("a step's tokens");
    let mut sums = [[_mm256_setzero_si256(); T]; GROUPS];
    for at in 0..256 / GROUP {
        sums = if GROUP == 32 {
            let a = x.each_ref().map(|x| &bytemuck::cast_ref::<_, [[[i8; 4]; 8]; 8]>(&x.q)[at]);
            let begin = x.each_ref().map(|x| &bytemuck::cast_ref::<_, [[[i16; 2]; 2]; 8]>(&x.offsets)[at]);
            let q = tile.each_ref().map(|w| &w.q.as_chunks().0[at]);
            let scales = tile.each_ref().map(|w| &w.scales[at]);
            add_scaled::<BITS, SHIFTED, 8, 2, GROUPS, T>(sums, q, a, begin, scales)
        } else {
            let a = x.each_ref().map(|x| bytemuck::cast_ref(&x.q[at]));
            let begin = x.each_ref().map(|x| std::array::from_ref(&x.offsets[at]));
            let q = tile.each_ref().map(|w| &w.q.as_chunks().0[at]);
            let scales = tile.each_ref().map(|w| &w.scales[at]);
            add_scaled::<BITS, SHIFTED, 4, 1, GROUPS, T>(sums, q, a, begin, scales)
        };
    }
    let results: &mut [[f32; PANEL_ROWS]; T] = results.first_chunk_mut().expect("a step's tokens");
    for t in 0..T {
        for g in 0..GROUPS {
            let Unpacked { d, min, dmin, .. } = &tile[g];
            let product = scaled::<BITS, GROUP, SHIFTED>(sums[g][t], *d, min, *dmin, &x[t]);
            let results = &mut results[t].as_chunks_mut().0[GROUPS * pair + g];
            let acc = load_floats(results);
            store_floats(results, _mm256_fmadd_ps(product, _mm256_set1_ps(x[t].d), acc));
        }
    }
}
