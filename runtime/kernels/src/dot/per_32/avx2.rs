//! Eight rows at a time, a row a lane; four columns of each are a step. Products are summed in 16 bits as long as they
//! fit, which halves the work against widening each: 8 · 2 · 15 · 127 = 30 480 < 32 767 for four bits.

use crate::activations::{Per32, Run32};
use crate::isa::avx2::{Level, broadcast_4, load_floats, store_floats};
use crate::unpack::{Panel, Results};
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

/// Groups of eight rows in a panel.
const GROUPS: usize = 4;

/// From this many tokens on, a tile of unpacked weights in the first cache is worth its stores and loads.
const TILE_TOKENS: usize = 5;

/// Tokens of a step from a tile: with two groups of rows, six sums; more do not fit the registers.
const STEP_TOKENS: usize = 3;

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
        let mut acc = [[_mm256_setzero_ps(); T]; 1];
        for b in 0..x.n_cols() / 32 {
            ahead.used(8 * size_of::<B>());
            let w = taken::<BITS>(level, unpack(rows.blocks(b)));
            add_block::<BITS, OFFSET, 1, T>(level, &mut acc, [&w], x.at(b / TILE_BLOCKS), b % TILE_BLOCKS);
        }
        for (t, results) in results.iter_mut().enumerate() {
            store_floats(&mut results.as_chunks_mut().0[group], acc[0][t]);
        }
    }
}

/// Many tokens: 256 columns of all rows are unpacked once into a tile, which all tokens use.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<const BITS: u32, const OFFSET: i32, B: Block, L: Level>(
    level: L,
    panel: Panel<'_, B>,
    x: Per32<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 8]) -> Unpacked,
) {
    let zero = _mm256_setzero_ps();
    let nothing = Unpacked { q: [_mm256_setzero_si256(); 8], d: zero, m: Some(zero) };
    let mut tile = [[nothing; GROUPS]; TILE_BLOCKS];
    results.fill([0.0; 8 * GROUPS]);
    let n_blocks = x.n_cols() / 32;
    for first in (0..n_blocks).step_by(TILE_BLOCKS) {
        let tile = &mut tile[..TILE_BLOCKS.min(n_blocks - first)];
        for group in 0..GROUPS {
            let rows = panel.group::<8>(8 * group);
            for (b, tile) in tile.iter_mut().enumerate() {
                tile[group] = taken::<BITS>(level, unpack(rows.blocks(first + b)));
            }
        }
        let tokens = x.at(first / TILE_BLOCKS).chunks(STEP_TOKENS);
        for (x, results) in tokens.zip(results.chunks_mut(STEP_TOKENS)) {
            match results.len() {
                1 => step_of::<BITS, OFFSET, 1>(level, tile, x, results),
                2 => step_of::<BITS, OFFSET, 2>(level, tile, x, results),
                _ => step_of::<BITS, OFFSET, STEP_TOKENS>(level, tile, x, results),
            }
        }
    }
}

/// All rows of a tile with a few tokens.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn step_of<const BITS: u32, const OFFSET: i32, const T: usize>(
    level: impl Level,
    tile: &[[Unpacked; GROUPS]],
    x: &[Run32],
    results: &mut Results,
) {
    for pair in 0..GROUPS / 2 {
        let mut acc = [[_mm256_setzero_ps(); T]; 2];
        for (t, results) in results.iter().enumerate() {
            let results = results.as_chunks().0;
            (acc[0][t], acc[1][t]) = (load_floats(&results[2 * pair]), load_floats(&results[2 * pair + 1]));
        }
        for (b, tile) in tile.iter().enumerate() {
            let w = [&tile[2 * pair], &tile[2 * pair + 1]];
            add_block::<BITS, OFFSET, 2, T>(level, &mut acc, w, x, b);
        }
        for (t, results) in results.iter_mut().enumerate() {
            let results = results.as_chunks_mut().0;
            store_floats(&mut results[2 * pair], acc[0][t]);
            store_floats(&mut results[2 * pair + 1], acc[1][t]);
        }
    }
}

/// Adds the products of the runs' block `b` to the sums of `G` groups of rows with `T` tokens.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_block<const BITS: u32, const OFFSET: i32, const G: usize, const T: usize>(
    level: impl Level,
    acc: &mut [[__m256; T]; G],
    w: [&Unpacked; G],
    x: &[Run32],
    b: usize,
) {
    let x: &[Run32; T] = x.first_chunk().expect("a step's tokens");
    let a: [&[[i8; 4]; 8]; T] = x.each_ref().map(|x| bytemuck::cast_ref(&x.q[b]));
    // What was added to the weights, here or in `taken`.
    let offset = if BITS == 8 && level.vnni().is_some() { 128 } else { OFFSET };
    let mut sums = [[_mm256_setzero_si256(); T]; G];
    for t in 0..T {
        for sums in &mut sums {
            sums[t] = _mm256_set1_epi32(-offset * x[t].sums[b]);
        }
    }
    if let Some(vnni) = level.vnni() {
        for j in 0..8 {
            for t in 0..T {
                let a = broadcast_4(&a[t][j]);
                for g in 0..G {
                    sums[g][t] = vnni.add_products_of_8(sums[g][t], w[g].q[j], a);
                }
            }
        }
    } else {
        add_in_16_bits::<BITS, G, T>(&mut sums, w, a);
    }
    for t in 0..T {
        let (d, s) = (_mm256_set1_ps(x[t].d[b]), _mm256_set1_ps(x[t].s[b]));
        for g in 0..G {
            let sum = _mm256_cvtepi32_ps(sums[g][t]);
            acc[g][t] = _mm256_fmadd_ps(sum, _mm256_mul_ps(w[g].d, d), acc[g][t]);
            if let Some(m) = w[g].m {
                acc[g][t] = _mm256_fmadd_ps(m, s, acc[g][t]);
            }
        }
    }
}

/// Adds products that are summed in 16 bits first.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_in_16_bits<const BITS: u32, const G: usize, const T: usize>(
    sums: &mut [[__m256i; T]; G],
    w: [&Unpacked; G],
    a: [&[[i8; 4]; 8]; T],
) {
    // Steps whose sums fit 16 bits: two products each of at most 2ᴮᴵᵀˢ · 127, of 128 · 127 for signed bytes.
    let steps = const { if BITS == 8 { 1 } else { 128 >> BITS } };
    for first in (0..8).step_by(steps) {
        let mut pairs = [[_mm256_setzero_si256(); T]; G];
        for j in first..first + steps {
            for t in 0..T {
                let a = broadcast_4(&a[t][j]);
                for g in 0..G {
                    let products = if BITS == 8 {
                        _mm256_maddubs_epi16(_mm256_abs_epi8(w[g].q[j]), _mm256_sign_epi8(a, w[g].q[j]))
                    } else {
                        _mm256_maddubs_epi16(w[g].q[j], a)
                    };
                    pairs[g][t] = _mm256_add_epi16(pairs[g][t], products);
                }
            }
        }
        for g in 0..G {
            for t in 0..T {
                let wide = _mm256_madd_epi16(pairs[g][t], _mm256_set1_epi16(1));
                sums[g][t] = _mm256_add_epi32(sums[g][t], wide);
            }
        }
    }
}

/// Weights as the level takes them: dot products of bytes want unsigned ones.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn taken<const BITS: u32>(level: impl Level, mut w: Unpacked) -> Unpacked {
    if BITS == 8 && level.vnni().is_some() {
        // The sign's bit flipped adds 128.
        w.q = w.q.map(|q| _mm256_xor_si256(q, _mm256_set1_epi8(-128)));
    }
    w
}
