//! Eight rows at a time, a row a lane; four columns of each are a step. Products are summed in 16 bits as long as they
//! fit, which halves the work against widening each: 8 · 2 · 15 · 127 = 30 480 < 32 767 for four bits.
//!
//! Without [`settled`] the compiler unrolled a tile's eight blocks into 40 KiB of code that kept its sums on the stack: 128
//! tokens came to 68 · 10⁹ multiply-adds a second with Q4_0, 39 with Q5_0 and 44 with MXFP4, and come to 150–170, 152–177 and
//! 111–151 (Zen 3; the peak is 326).

use crate::activations::{Per32, Run32};
use crate::isa::avx2::{Level, anew, broadcast_4, load_floats, settled, store_floats};
use crate::unpack::{PANEL_ROWS, Panel, Results};
use blocks::Block;
use core::arch::x86_64::*;

/// A block of 32 weights `d · (q − offset) + m` of eight rows.
#[derive(Clone, Copy)]
pub(crate) struct Unpacked {
    /// Columns `4j … 4j + 3` of each row in its lane: unsigned for up to five bits, signed for eight.
    pub(crate) q: [__m256i; 8],
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

/// From this many tokens on, a tile of unpacked weights in the first cache is worth its stores and loads.
const TILE_TOKENS: usize = 5;

/// For types of `BITS` bits, whose weights are unpacked with `OFFSET` added.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn multiply<const BITS: u32, const OFFSET: i32, B: Block, L: Level>(
    level: L,
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 8]) -> Unpacked,
) {
    match results.len() {
        0 => (),
        1 => stream::<BITS, OFFSET, 1, B, L>(level, panel, x, results, unpack),
        2 => stream::<BITS, OFFSET, 2, B, L>(level, panel, x, results, unpack),
        3 => stream::<BITS, OFFSET, 3, B, L>(level, panel, x, results, unpack),
        n if n < TILE_TOKENS => stream::<BITS, OFFSET, 4, B, L>(level, panel, x, results, unpack),
        _ => tile::<BITS, OFFSET, B, L>(level, panel, x, results, unpack),
    }
}

/// Few tokens: weights go from the file through registers, while the rows that come next are fetched.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn stream<const BITS: u32, const OFFSET: i32, const T: usize, B: Block, L: Level>(
    level: L,
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 8]) -> Unpacked,
) {
    for group in 0..panel.n_rows().div_ceil(8) {
        let rows = panel.group::<8>(8 * group);
        let mut ahead = panel.ahead(8 * (group + 1), 8);
        let mut acc = [[_mm256_setzero_ps(); T]];
        let n_blocks = x.n_cols() / 32;
        for run in 0..x.n_runs() {
            let (first, x) = (run * TILE_BLOCKS, x.at(run));
            for b in 0..TILE_BLOCKS.min(n_blocks - first) {
                ahead.used(8 * size_of::<B>());
                let w = Taken::whole::<BITS>(level, unpack(rows.blocks(first + b)));
                add_block::<BITS, OFFSET, 1, T>(level, &mut acc, [&w], x, b);
            }
        }
        for (t, results) in results.iter_mut().enumerate() {
            store_floats(&mut results.as_chunks_mut().0[group], acc[0][t]);
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
    unpack: impl Fn([&B; 8]) -> Unpacked,
) {
    let mut tile = [[Taken::nothing(); GROUPS]; TILE_BLOCKS];
    results.fill([0.0; PANEL_ROWS]);
    let n_blocks = x.n_cols() / 32;
    for first in (0..n_blocks).step_by(TILE_BLOCKS) {
        let tile = &mut tile[..TILE_BLOCKS.min(n_blocks - first)];
        for pair in 0..panel.n_rows().div_ceil(8 * GROUPS) {
            for g in 0..GROUPS {
                let rows = panel.group::<8>(8 * (GROUPS * pair + g));
                for (b, tile) in tile.iter_mut().enumerate() {
                    tile[g] = Taken::parts::<BITS>(level, unpack(rows.blocks(first + b)));
                }
            }
            let tokens = x.at(first / TILE_BLOCKS).chunks(STEP_TOKENS);
            for (x, results) in tokens.zip(results.chunks_mut(STEP_TOKENS)) {
                match results.len() {
                    1 => step::<BITS, OFFSET, 1>(level, tile, x, pair, results),
                    2 => step::<BITS, OFFSET, 2>(level, tile, x, pair, results),
                    _ => step::<BITS, OFFSET, STEP_TOKENS>(level, tile, x, pair, results),
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
    pair: usize,
    results: &mut Results,
) {
    let mut acc = [[_mm256_setzero_ps(); T]; GROUPS];
    for (t, results) in results.iter().enumerate().take(T) {
        for (g, acc) in acc.iter_mut().enumerate() {
            acc[t] = load_floats(&results.as_chunks().0[GROUPS * pair + g]);
        }
    }
    for (b, tile) in tile.iter().enumerate() {
        add_block::<BITS, OFFSET, GROUPS, T>(level, &mut acc, tile.each_ref(), x, b);
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
    q: [__m256i; 8],
    /// Of eight bits without dot products of bytes, in a tile: `q` has the lower four and this the upper, plus 8.
    high: [__m256i; 8],
    d: __m256,
    m: __m256,
}

impl Taken {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn nothing() -> Self {
        let (zero, none) = ([_mm256_setzero_si256(); 8], _mm256_setzero_ps());
        Self { q: zero, high: zero, d: none, m: none }
    }

    /// For dot products of bytes, which want unsigned ones, or as they are.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn whole<const BITS: u32>(level: impl Level, w: Unpacked) -> Self {
        let mut q = w.q;
        if BITS == 8 && level.vnni().is_some() {
            // The sign's bit flipped adds 128.
            q = q.map(|q| _mm256_xor_si256(q, _mm256_set1_epi8(-128)));
        }
        Self { q, d: w.d, m: w.m.unwrap_or(_mm256_setzero_ps()), ..Self::nothing() }
    }

    /// Eight bits as two times four: unsigned, and of a size whose products eight steps sum in 16 bits.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn parts<const BITS: u32>(level: impl Level, w: Unpacked) -> Self {
        let mut taken = Self::whole::<BITS>(level, w);
        if BITS == 8 && level.vnni().is_none() {
            let four = _mm256_set1_epi8(15);
            taken.q = w.q.map(|q| _mm256_and_si256(q, four));
            taken.high = w.q.map(|q| {
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(q), four);
                _mm256_xor_si256(high, _mm256_set1_epi8(8))
            });
        }
        taken
    }
}

/// Adds the products of the runs' block `b` to the sums of `G` groups of rows with `T` tokens.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_block<const BITS: u32, const OFFSET: i32, const G: usize, const T: usize>(
    level: impl Level,
    acc: &mut [[__m256; T]; G],
    w: [&Taken; G],
    x: &[Run32],
    b: usize,
) {
    let x: &[Run32; T] = x.first_chunk().expect("a step's tokens");
    let a: [&[[i8; 4]; 8]; T] = x.each_ref().map(|x| bytemuck::cast_ref(&x.q[b]));
    let signed = BITS == 8 && level.vnni().is_none();
    // What was added to the weights, here or in `Taken`.
    let offset = if BITS == 8 && !(signed && G == 1) { 128 } else { OFFSET };
    let mut sums = [[_mm256_setzero_si256(); T]; G];
    if offset != 0 {
        for t in 0..T {
            // Settled, or the compiler multiplies before it broadcasts, in a register that is none of a vector's.
            let sum = settled(_mm256_set1_epi32(x[t].sums[b]));
            for sums in &mut sums {
                sums[t] = _mm256_mullo_epi32(sum, _mm256_set1_epi32(-offset));
            }
        }
    }
    let q = w.map(|w| &w.q);
    if let Some(vnni) = level.vnni() {
        for j in 0..8 {
            for t in 0..T {
                let a = broadcast_4(&a[t][j]);
                for g in 0..G {
                    sums[g][t] = vnni.add_products_of_8(sums[g][t], q[g][j], a);
                }
            }
        }
    } else if signed && G == 1 {
        add_signed(&mut sums, q, a);
    } else if signed {
        add_in_16_bits::<4, G, T>(&mut sums, w.map(|w| &w.high), a, 16);
        // Read again: else the compiler keeps eight times three broadcast numbers for the second time.
        add_in_16_bits::<4, G, T>(&mut sums, q, a.map(anew), 1);
    } else {
        add_in_16_bits::<BITS, G, T>(&mut sums, q, a, 1);
    }
    for t in 0..T {
        let (d, s) = (_mm256_set1_ps(x[t].d[b]), _mm256_set1_ps(x[t].s[b]));
        for g in 0..G {
            let sum = _mm256_cvtepi32_ps(sums[g][t]);
            acc[g][t] = _mm256_fmadd_ps(sum, _mm256_mul_ps(w[g].d, d), acc[g][t]);
            // Unsigned weights without an offset are those with a minimum.
            if OFFSET == 0 && BITS < 8 {
                acc[g][t] = _mm256_fmadd_ps(w[g].m, s, acc[g][t]);
            }
        }
    }
}

/// Adds `factor` times the products, which are summed in 16 bits first.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_in_16_bits<const BITS: u32, const G: usize, const T: usize>(
    sums: &mut [[__m256i; T]; G],
    q: [&[__m256i; 8]; G],
    a: [&[[i8; 4]; 8]; T],
    factor: i16,
) {
    // Steps whose sums fit 16 bits: two products each of at most 2ᴮᴵᵀˢ · 127.
    let steps = const { 128 >> BITS };
    for first in (0..8).step_by(steps) {
        let mut pairs = [[_mm256_setzero_si256(); T]; G];
        for j in first..first + steps {
            for t in 0..T {
                let a = broadcast_4(&a[t][j]);
                for g in 0..G {
                    let products = _mm256_maddubs_epi16(q[g][j], a);
                    pairs[g][t] = settled(_mm256_add_epi16(pairs[g][t], products));
                }
            }
        }
        for t in 0..T {
            for g in 0..G {
                let wide = _mm256_madd_epi16(pairs[g][t], _mm256_set1_epi16(factor));
                sums[g][t] = settled(_mm256_add_epi32(sums[g][t], wide));
            }
        }
    }
}

/// Adds the products of signed bytes, of which two fit 16 bits (2 · 128 · 127): from registers one multiplication less than
/// taking them apart.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_signed<const G: usize, const T: usize>(
    sums: &mut [[__m256i; T]; G],
    q: [&[__m256i; 8]; G],
    a: [&[[i8; 4]; 8]; T],
) {
    for j in 0..8 {
        for t in 0..T {
            let a = broadcast_4(&a[t][j]);
            for g in 0..G {
                let products = _mm256_maddubs_epi16(_mm256_abs_epi8(q[g][j]), _mm256_sign_epi8(a, q[g][j]));
                let wide = _mm256_madd_epi16(products, _mm256_set1_epi16(1));
                sums[g][t] = _mm256_add_epi32(sums[g][t], wide);
            }
        }
    }
}
