//! Eight rows at a time, a row a lane; four columns of each are a step. Products are summed in 16 bits as long as they
//! fit, which halves the work against widening each: 8 · 2 · 15 · 127 = 30 480 < 32 767 for four bits.
//!
//! Without [`crate::isa::avx2::settled`] the compiler unrolled a tile's eight blocks into 40 KiB of code that kept its sums on the stack: 128
//! tokens came to 68 · 10⁹ multiply-adds a second with Q4_0 where they come to 150 and more (two cores of a Zen 3; the peak is
//! 326). On one of them a step of three tokens with a tile in the first cache comes to 113 with Q4_0 and to 71 with Q8_0, whose
//! weights are numbers of 16 bits there: as two times four bits they came to 60, as bytes without their signs to 65.
//!
//! A token alone is multiplied by pairs of rows ([`alone`]), but for types with a fifth bit of its own, which costs more that way (Q5_0 from the
//! caches 14.7 GB/s a core turned, 13.7 by pairs). From memory, prefetches one group ahead in four streams were the best of two, eight,
//! sixteen and one, of the first cache's and of passing ones, of every second line, of the rows' own next lines, and of loads in
//! their place (Q4_0, one core: 12.5 GB/s, none at all 8, the others between).

mod alone;
mod products;

use crate::activations::{Per32, Run32};
use crate::isa::LINE;
use crate::isa::avx2::{Level, load_floats, store_floats, upper};
use crate::unpack::{PANEL_ROWS, Panel, Results};
use blocks::Block;
use core::arch::x86_64::*;
use products::{Wide, of_wide, products, widen};

/// What blocks of 32 weights `d · (q − offset) + m` of eight rows have beside the weights, each row in its lane.
#[derive(Clone, Copy)]
pub(crate) struct Scales {
    pub(crate) d: __m256,
    /// `None` for a type that has no minimum.
    pub(crate) m: Option<__m256>,
}

/// Blocks of a tile: 256 columns.
const TILE_BLOCKS: usize = 8;

/// Groups of eight rows in a tile, and tokens of a step: the six sums, the six of a block and what they are made of are
/// sixteen registers.
const GROUPS: usize = 2;
const STEP_TOKENS: usize = 3;

/// Tiles of a panel: what tokens bring into the first cache is used for all its rows.
const PAIRS: usize = PANEL_ROWS / (8 * GROUPS);

/// Lines of memory that a core asks for before it waits.
const FETCHES: usize = 24;

/// From this many tokens on, a tile of unpacked weights in the first cache is worth its stores and loads.
const TILE_TOKENS: usize = 5;

/// For types of `BITS` bits, whose weights are unpacked with `OFFSET` added: `turned` gives columns `4j … 4j + 3` of each of eight rows
/// in its lane of vector `j`, unsigned for up to five bits, signed for eight.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn multiply<const BITS: u32, const OFFSET: i32, B: Block, L: Level>(
    level: L,
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    turned: impl Fn([&B; 8]) -> [__m256i; 8],
    scales: impl Fn([&B; 8]) -> Scales,
) {
    match results.len() {
        0 => (),
        1 => stream::<BITS, OFFSET, 1, B, L>(level, panel, 0, x, results, turned, scales),
        2 => stream::<BITS, OFFSET, 2, B, L>(level, panel, 0, x, results, turned, scales),
        3 => stream::<BITS, OFFSET, 3, B, L>(level, panel, 0, x, results, turned, scales),
        n if n < TILE_TOKENS => stream::<BITS, OFFSET, 4, B, L>(level, panel, 0, x, results, turned, scales),
        _ => tile::<BITS, OFFSET, B, L>(level, panel, x, results, turned, scales),
    }
}

/// Likewise for types of four and eight bits, or levels of five with an offset; a token alone is multiplied with `pair`s: the first
/// sixteen columns of two rows, and then the others.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn multiply_pairs<const BITS: u32, const OFFSET: i32, B: Block, L: Level>(
    level: L,
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    turned: impl Fn([&B; 8]) -> [__m256i; 8],
    pair: impl Fn([&B; 2]) -> [__m256i; 2],
    scales: impl Fn([&B; 8]) -> Scales,
) {
    if let [alone] = results {
        let n_groups = alone::multiply::<BITS, OFFSET, B, L>(level, panel, x, alone, pair, &scales);
        stream::<BITS, OFFSET, 1, B, L>(level, panel, n_groups, x, results, turned, scales);
    } else {
        multiply::<BITS, OFFSET, B, L>(level, panel, x, results, turned, scales);
    }
}

/// Few tokens: weights go from the file through registers, while the rows that come next are fetched. From a group of eight rows on.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn stream<const BITS: u32, const OFFSET: i32, const T: usize, B: Block, L: Level>(
    level: L,
    panel: Panel<'_, B>,
    first_group: usize,
    x: Per32<'_>,
    results: &mut Results,
    turned: impl Fn([&B; 8]) -> [__m256i; 8],
    scales: impl Fn([&B; 8]) -> Scales,
) {
    // What follows is fetched a run at a time where that is not too much: a block's loop is shorter without.
    let at_once = const { 8 * TILE_BLOCKS * size_of::<B>() <= FETCHES * LINE };
    for group in first_group..panel.n_rows().div_ceil(8) {
        let rows = panel.group::<8>(8 * group);
        let mut ahead = panel.ahead::<4>(8 * (group + 1), 8);
        let mut acc = [[_mm256_setzero_ps(); T]];
        for (acc, results) in acc[0].iter_mut().zip(&*results) {
            *acc = load_floats(&results.as_chunks().0[group]);
        }
        let n_blocks = x.n_cols() / 32;
        for run in 0..x.n_runs() {
            let first = run * TILE_BLOCKS;
            let x: &[Run32; T] = x.at(run).first_chunk().expect("a step's tokens");
            let n = TILE_BLOCKS.min(n_blocks - first);
            if at_once {
                ahead.used(8 * n * size_of::<B>());
            }
            for b in 0..n {
                if !at_once {
                    ahead.used(8 * size_of::<B>());
                }
                let blocks = rows.blocks(first + b);
                let w = Taken::bytes::<BITS>(level, turned(blocks), scales(blocks));
                let sums = products::<BITS, OFFSET, 1, T>(level, [&w.q], x, b);
                add_block::<BITS, OFFSET, 1, T>(&mut acc, sums, [&w], x, b);
            }
        }
        for (acc, results) in acc[0].iter().zip(&mut *results) {
            store_floats(&mut results.as_chunks_mut().0[group], *acc);
        }
    }
}

/// Many tokens: 256 columns of sixteen rows are unpacked once into a tile, which all tokens use.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<const BITS: u32, const OFFSET: i32, B: Block, L: Level>(
    level: L,
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    turned: impl Fn([&B; 8]) -> [__m256i; 8],
    scales: impl Fn([&B; 8]) -> Scales,
) {
    let mut tile = [[[Taken::nothing(); GROUPS]; TILE_BLOCKS]; PAIRS];
    let mut wide = [[[[[0; 2]; 2]; 8]; TILE_BLOCKS]; STEP_TOKENS];
    let (n_blocks, n_pairs) = (x.n_cols() / 32, panel.n_rows().div_ceil(8 * GROUPS));
    for first in (0..n_blocks).step_by(TILE_BLOCKS) {
        let n = TILE_BLOCKS.min(n_blocks - first);
        for (pair, tile) in tile[..n_pairs].iter_mut().enumerate() {
            for g in 0..GROUPS {
                let rows = panel.group::<8>(8 * (GROUPS * pair + g));
                for (b, tile) in tile[..n].iter_mut().enumerate() {
                    let blocks = rows.blocks(first + b);
                    tile[g] = Taken::of_tile::<BITS>(level, turned(blocks), scales(blocks));
                }
            }
        }
        let n_steps = results.len().div_ceil(STEP_TOKENS);
        let tokens = x.at(first / TILE_BLOCKS).chunks(STEP_TOKENS);
        for (i, (x, results)) in tokens.zip(results.chunks_mut(STEP_TOKENS)).enumerate() {
            panel.fetch(first + TILE_BLOCKS..first + 2 * TILE_BLOCKS, i, n_steps);
            if are_widened::<BITS>(level) {
                for (x, wide) in x.iter().zip(&mut wide) {
                    widen(x, wide);
                }
            }
            for (pair, tile) in tile[..n_pairs].iter().enumerate() {
                match results.len() {
                    1 => step::<BITS, OFFSET, 1>(level, &tile[..n], x, &wide, pair, results),
                    2 => step::<BITS, OFFSET, 2>(level, &tile[..n], x, &wide, pair, results),
                    _ => step::<BITS, OFFSET, STEP_TOKENS>(level, &tile[..n], x, &wide, pair, results),
                }
            }
        }
    }
}

/// All of a tile with a few tokens. A function of its own, so that its registers are its own.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn step<const BITS: u32, const OFFSET: i32, const T: usize>(
    level: impl Level,
    tile: &[[Taken; GROUPS]],
    x: &[Run32],
    wide: &[Wide; STEP_TOKENS],
    pair: usize,
    results: &mut Results,
) {
    let x: &[Run32; T] = x.first_chunk().expect("a step's tokens");
    let mut acc = [[_mm256_setzero_ps(); T]; GROUPS];
    for (t, results) in results.iter().enumerate().take(T) {
        for (g, acc) in acc.iter_mut().enumerate() {
            acc[t] = load_floats(&results.as_chunks().0[GROUPS * pair + g]);
        }
    }
    for (b, tile) in tile.iter().enumerate() {
        let sums = if are_widened::<BITS>(level) {
            of_wide(tile.each_ref(), wide.first_chunk().expect("a step's tokens"), b)
        } else {
            products::<BITS, OFFSET, GROUPS, T>(level, tile.each_ref().map(|w| &w.q), x, b)
        };
        add_block::<BITS, OFFSET, GROUPS, T>(&mut acc, sums, tile.each_ref(), x, b);
    }
    for (t, results) in results.iter_mut().enumerate().take(T) {
        for (g, acc) in acc.iter().enumerate() {
            store_floats(&mut results.as_chunks_mut().0[GROUPS * pair + g], acc[t]);
        }
    }
}

/// A block of eight rows as its products are computed.
#[derive(Clone, Copy)]
struct Taken {
    /// Columns `4j … 4j + 3` of each row in its lane.
    q: [__m256i; 8],
    /// Of eight bits without dot products of bytes, in a tile: `q` has columns `4j` and `4j + 1` as numbers of 16 bits, and this
    /// the other two.
    rest: [__m256i; 8],
    d: __m256,
    m: __m256,
}

impl Taken {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn nothing() -> Self {
        let none = [_mm256_setzero_si256(); 8];
        Self { q: none, rest: none, d: _mm256_setzero_ps(), m: _mm256_setzero_ps() }
    }

    /// For dot products of bytes, which want unsigned ones, or as they are.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn bytes<const BITS: u32>(level: impl Level, mut q: [__m256i; 8], scales: Scales) -> Self {
        if BITS == 8 && level.dots().is_some() {
            // The sign's bit flipped adds 128.
            q = q.map(|q| _mm256_xor_si256(q, _mm256_set1_epi8(-128)));
        }
        Self { q, d: scales.d, m: scales.m.unwrap_or(_mm256_setzero_ps()), ..Self::nothing() }
    }

    /// For a tile.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn of_tile<const BITS: u32>(level: impl Level, q: [__m256i; 8], scales: Scales) -> Self {
        let mut taken = Self::bytes::<BITS>(level, q, scales);
        if are_widened::<BITS>(level) {
            let two =
                |first| q.map(|q| _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(q, upper([first, first + 1]))));
            (taken.q, taken.rest) = (two(0), two(2));
        }
        taken
    }
}

/// Whether a tile has 16 bits for a weight.
#[inline(always)]
fn are_widened<const BITS: u32>(level: impl Level) -> bool {
    BITS == 8 && level.dots().is_none()
}

/// Adds the sums of the runs' block `b` to the results.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_block<const BITS: u32, const OFFSET: i32, const G: usize, const T: usize>(
    acc: &mut [[__m256; T]; G],
    sums: [[__m256i; T]; G],
    w: [&Taken; G],
    x: &[Run32; T],
    b: usize,
) {
    for t in 0..T {
        let (d, s) = (_mm256_set1_ps(x[t].d[b]), _mm256_set1_ps(x[t].s[b]));
        for g in 0..G {
            acc[g][t] =
                added(acc[g][t], sums[g][t], (w[g].d, d), has_minimum(BITS, OFFSET).then_some((w[g].m, s)));
        }
    }
}

/// Whether a type has minimums: unsigned weights without an offset are those that have.
const fn has_minimum(bits: u32, offset: i32) -> bool {
    offset == 0 && bits < 8
}

/// A result and a block's sum, multiplied by both scales; with the weights' minimum and what the block adds for each unit of it.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn added(acc: __m256, sum: __m256i, (w, x): (__m256, __m256), minimum: Option<(__m256, __m256)>) -> __m256 {
    let acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(w, x), acc);
    match minimum {
        Some((m, s)) => _mm256_fmadd_ps(m, s, acc),
        None => acc,
    }
}
