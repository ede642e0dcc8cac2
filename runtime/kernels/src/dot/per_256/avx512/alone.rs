//! A token alone: rows one after the other, as they lie in the file, sixty-four columns a vector, as they lie in a row. A sum's lanes
//! are four columns each until a block ends, for all that is in between is integers; only then the sums of sixteen blocks are turned,
//! a block a lane: a twelfth of what weights would be. What they are multiplied by is decoded for sixteen at a time, too.
//!
//! Four columns of up to six bits and no sign fit 16 bits (4 · 63 · 127 = 32 004), so what was added to a type's weights is repaid once
//! a block.
//!
//! On a core of a Xeon (model 207) that reads 256 rows of Q4_K from the caches at 25.5 GB/s and of Q6_K at 27.5, where sixteen rows with a row a lane came to
//! 20. Lost on the way: the same vectors with a block of each of sixteen rows at a time (23.5, 24.6); floats added a row alone, a block after
//! the other (22, 25). From memory of two threads' 23 GB/s Q4_K brings 0.83, without fetching ahead 0.53, fetching in one place 3 KiB ahead 0.69,
//! in four or sixteen instead of eight 0.79 and 0.80, four blocks' at a time instead of one's 0.81 (Q6_K 0.75 for 0.79).
//! Four rows by turns, four blocks of each, as streams that are fetched 1152 bytes ahead, lost: 0.66 for 0.80 (Q6_K 0.66 for 0.85), from
//! the caches 21 for 24 GB/s.

use super::{Layout, Minimums};
use crate::activations::{Per256, Run256};
use crate::isa::avx2::load_16;
use crate::isa::avx512::{
    add_products_of_16, load_32, load_64, load_floats, load_ints, store_64, store_floats, store_ints,
    transpose,
};
use crate::unpack::{PANEL_ROWS, Panel};
use blocks::Block;
use core::arch::x86_64::*;

/// How a format's weights lie in a row.
pub(crate) trait Row: Layout {
    /// Columns of a scale: 16 or 32.
    const GROUP: usize;

    /// What is added to a weight: nothing where there are minimums, as unsigned weights fit here.
    const ADDED: i32 = if Self::MINIMUMS == 0 { Self::OFFSET } else { 0 };
}

/// Blocks whose sums are turned together.
const BLOCKS: usize = 16;

/// The scales of sixteen blocks, a byte each, block after block: with a sign where there are no minimums.
pub(crate) type ScaleBytes = [u8; 256];

/// What the blocks have beside these, each block in its lane.
pub(crate) struct Beside {
    pub(crate) d: __m512,
    /// [`Minimums::scales`] are not looked at, and for a type that has none nothing is.
    pub(crate) minimums: Minimums,
}

/// Adds the products of a panel's rows with a token: `columns` gives a block's weights in order, unsigned; `beside` writes the scales
/// of sixteen and gives the rest.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn multiply<L: Row, B: Block>(
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut [f32; PANEL_ROWS],
    columns: impl Fn(&B) -> [__m512i; 4],
    beside: impl Fn([&B; BLOCKS], &mut ScaleBytes) -> Beside,
) {
    let mut ahead = panel.ahead::<8>(PANEL_ROWS, PANEL_ROWS);
    let (at_scales, mut scales) = (at_scales::<L>(), [0; 256]);
    for first in (0..x.n_runs()).step_by(BLOCKS) {
        let n = BLOCKS.min(x.n_runs() - first);
        let token = Token::of::<L>(std::array::from_fn(|i| &x.at(first + i.min(n - 1))[0]));
        for (group, results) in results.as_chunks_mut().0.iter_mut().enumerate() {
            let mut products = [[0; 64]; 16];
            for (row, product) in
                products.iter_mut().enumerate().take(panel.n_rows().saturating_sub(16 * group))
            {
                let [blocks] = panel.rows(16 * group + row);
                let blocks = &blocks[first..first + n];
                let blocks: [&B; BLOCKS] = match blocks.first_chunk::<BLOCKS>() {
                    Some(all) => all.each_ref(),
                    None => std::array::from_fn(|i| &blocks[i.min(n - 1)]),
                };
                let beside = beside(blocks, &mut scales);
                let mut quarters = [_mm512_setzero_si512(); 4];
                for (four, quarter) in quarters.iter_mut().enumerate().take(n.div_ceil(4)) {
                    let mut sum = |at: usize| {
                        ahead.used(size_of::<B>());
                        let i = 4 * four + at;
                        sum_of::<L>(columns(blocks[i]), &token, i, lanes::<L>(&scales, i), at_scales)
                    };
                    *quarter = turned([sum(0), sum(1), sum(2), sum(3)]);
                }
                store_64(product, _mm512_castps_si512(product_of::<L>(joined(quarters), &beside, &token)));
            }
            let mut acc = load_floats(results);
            for (at, x) in token.x[..n].chunks(4).enumerate() {
                let turned = transpose(products.each_ref().map(|product| &product.as_chunks().0[at]));
                for (product, x) in turned.into_iter().zip(x) {
                    acc = _mm512_fmadd_ps(_mm512_castsi512_ps(product), _mm512_set1_ps(x.d), acc);
                }
            }
            store_floats(results, acc);
        }
    }
}

/// The sum of a block's products, four columns a lane, each times its scale.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn sum_of<L: Row>(
    q: [__m512i; 4],
    token: &Token<'_>,
    i: usize,
    scales: __m512i,
    at_scales: [__m512i; 4],
) -> __m512i {
    let mut sum = _mm512_setzero_si512();
    if L::ADDED != 0 {
        let repaid = load_ints(&token.repaid[i]);
        sum = add_products_of_16(add_products_of_16(sum, scales, repaid), scales, repaid);
    }
    let x: &[[u8; 64]; 4] = bytemuck::cast_ref(&token.x[i].q);
    for ((q, x), at) in q.into_iter().zip(x).zip(at_scales) {
        let part = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q, load_64(x));
        sum = add_products_of_16(sum, part, _mm512_permutexvar_epi32(at, scales));
    }
    sum
}

/// What sixteen blocks come to but for the token's scales.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn product_of<L: Row>(sum: __m512i, beside: &Beside, token: &Token<'_>) -> __m512 {
    let Beside { d, minimums } = beside;
    let sum = _mm512_cvtepi32_ps(sum);
    if L::MINIMUMS == 0 {
        return _mm512_mul_ps(sum, *d);
    }
    let mut min = _mm512_setzero_si512();
    for (mins, pair) in minimums.min.iter().zip(&token.pairs).take(L::MINIMUMS / 2) {
        min = add_products_of_16(min, *mins, load_ints(pair));
    }
    _mm512_fmsub_ps(sum, *d, _mm512_mul_ps(_mm512_cvtepi32_ps(min), minimums.dmin))
}

/// Sixteen blocks of a token.
struct Token<'a> {
    x: [&'a Run256; BLOCKS],
    /// Half of what a block's scales are multiplied by to repay what was added to its weights: all of it would not fit 16 bits.
    repaid: [[i32; 16]; BLOCKS],
    /// Sums of columns that have minimums `2j` and `2j + 1`, 16 bits each, of each block in its lane.
    pairs: [[i32; BLOCKS]; 8],
}

impl<'a> Token<'a> {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn of<L: Row>(x: [&'a Run256; BLOCKS]) -> Self {
        const { assert!(L::ADDED == 0 || L::GROUP == 16, "sums are of sixteen") };
        let (mut repaid, mut pairs) = ([[0; 16]; BLOCKS], [[0; BLOCKS]; 8]);
        for (i, x) in x.iter().enumerate() {
            if L::ADDED != 0 {
                let half = _mm256_set1_epi16((-L::ADDED / 2) as i16);
                let sums = _mm256_mullo_epi16(load_32(bytemuck::cast_ref(&x.sums)), half);
                store_ints(&mut repaid[i], _mm512_cvtepi16_epi32(sums));
            }
            if L::MINIMUMS != 0 {
                let of_16: &[i32; 8] = bytemuck::cast_ref(&x.sums);
                let of_32: &[i32; 4] = bytemuck::cast_ref(&x.sums_of_32);
                let sums = if L::GROUP == 16 { of_16.as_slice() } else { of_32 };
                for (pairs, &sums) in pairs.iter_mut().zip(sums) {
                    pairs[i] = sums;
                }
            }
        }
        Self { x, repaid, pairs }
    }
}

/// Where each lane's scale is among a block's.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn at_scales<L: Row>() -> [__m512i; 4] {
    [0, 1, 2, 3].map(|at| load_ints(&std::array::from_fn(|lane| ((64 * at + 4 * lane) / L::GROUP) as i32)))
}

/// The scales of block `i`, each in the lower half of a lane: what meets zeros above is the sign of a sum.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn lanes<L: Row>(scales: &ScaleBytes, i: usize) -> __m512i {
    if L::GROUP == 32 {
        return _mm512_castsi256_si512(_mm256_cvtepu8_epi32(load_8(&scales.as_chunks().0[i])));
    }
    let scales = load_16(&scales.as_chunks().0[i]);
    match L::MINIMUMS {
        0 => _mm512_and_si512(_mm512_cvtepi8_epi32(scales), _mm512_set1_epi32(0xffff)),
        _ => _mm512_cvtepu8_epi32(scales),
    }
}

/// Eight bytes, and zeros.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn load_8(bytes: &[u8; 8]) -> __m128i {
    _mm_cvtsi64_si128(i64::from_le_bytes(*bytes))
}

/// Adds lanes of four blocks until each quarter has one of each.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn turned([a, b, c, d]: [__m512i; 4]) -> __m512i {
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))
}

/// Adds the quarters of each of four vectors, and lays them side by side.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn joined([a, b, c, d]: [__m512i; 4]) -> __m512i {
    // Even quarters and odd ones.
    let two = |a, b| _mm512_add_epi32(_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
    two(two(a, b), two(c, d))
}
