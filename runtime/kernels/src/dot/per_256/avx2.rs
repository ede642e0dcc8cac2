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
//! made no difference. Sums by reference in nested loops, which the compiler left in memory, took Q6_K from 0.50 of the peak
//! to 0.33.

use super::scalar;
use crate::activations::{Per256, Run256};
use crate::isa::avx2::{
    Level, broadcast_2, broadcast_4, load_floats, settled, store_floats, transpose, upper,
};
use crate::unpack::{PANEL_ROWS, Panel, Results};
use blocks::Block;
use core::arch::x86_64::*;

/// A block of 256 weights `d · scale · (q − offset) − dmin · min` of eight rows.
#[derive(Clone, Copy)]
struct Unpacked {
    /// Columns `4j … 4j + 3` of each row in its lane: unsigned for up to six bits, signed for eight.
    q: [__m256i; 64],
    scales: Scales,
}

impl Unpacked {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn nothing() -> Self {
        let (zero, none) = (_mm256_setzero_si256(), _mm256_setzero_ps());
        Self { q: [zero; 64], scales: Scales { scales: [zero; 16], d: none, minimums: Minimums::none() } }
    }
}

/// What a block has beside its weights.
#[derive(Clone, Copy)]
pub(crate) struct Scales {
    /// The scale of each group of each row in its lane, twice, in 16 bits: groups of sixteen, or of 32, of which there are eight.
    pub(crate) scales: [__m256i; 16],
    pub(crate) d: __m256,
    /// Looked at only where weights of up to six bits are not shifted: those are the types that have minimums.
    pub(crate) minimums: Minimums,
}

/// Minimums of eight rows, 16 bits each.
#[derive(Clone, Copy)]
pub(crate) struct Minimums {
    /// Those of groups `2j` and `2j + 1` of each row in its lane: groups of sixteen, or of 32, which fill four vectors.
    pub(crate) min: [__m256i; 8],
    pub(crate) dmin: __m256,
}

impl Minimums {
    /// For a type that has none.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(crate) fn none() -> Self {
        Self { min: [_mm256_setzero_si256(); 8], dmin: _mm256_setzero_ps() }
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
    w: &'a mut Unpacked,
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
            let scale = self.w.scales.scales[16 * at / GROUP];
            let a = bytemuck::cast_ref(&self.x.q[at]);
            let begin = std::array::from_ref(&self.x.offsets[at]);
            [[self.sum]] = add_scaled::<BITS, SHIFTED, 4, 1, 1, 1>([[self.sum]], [&q], [a], [begin], [scale]);
        } else {
            self.w.q.as_chunks_mut().0[at] = q;
        }
    }
}

/// Groups of eight rows in a tile, and tokens of a step: the six sums of a scale's weights, the six of a block and what
/// they are made of are sixteen registers.
const GROUPS: usize = 2;
const STEP_TOKENS: usize = 3;

/// Tiles of a panel: what tokens bring into the first cache is used for all its rows.
const PAIRS: usize = PANEL_ROWS / (8 * GROUPS);

/// For types whose weights are unpacked `SHIFTED` by [`OFFSET`], or as they are; `alone` and `unpack` do so.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn multiply<const BITS: u32, const GROUP: usize, const SHIFTED: bool, B: Block>(
    _: impl Level,
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
    let mut w = Unpacked::nothing();
    for group in 0..panel.n_rows().div_ceil(8) {
        let rows = panel.group::<8>(8 * group);
        let mut ahead = panel.ahead(8 * (group + 1), 8);
        let mut acc = _mm256_setzero_ps();
        for b in 0..x.n_runs() {
            ahead.used(8 * size_of::<B>());
            let (blocks, x) = (rows.blocks(b), &x.at(b)[0]);
            w.scales = scales(blocks);
            let mut out = Out { w: &mut w, x, sum: _mm256_setzero_si256() };
            alone(blocks, &mut out);
            let sum = out.sum;
            acc =
                _mm256_fmadd_ps(scaled::<BITS, GROUP, SHIFTED>(sum, &w.scales, x), _mm256_set1_ps(x.d), acc);
        }
        store_floats(&mut results.as_chunks_mut().0[group], acc);
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
    results.fill([0.0; PANEL_ROWS]);
    let n_pairs = panel.n_rows().div_ceil(8 * GROUPS);
    let mut ahead = panel.ahead(PANEL_ROWS, PANEL_ROWS);
    for b in 0..x.n_runs() {
        for (pair, tile) in tile[..n_pairs].iter_mut().enumerate() {
            ahead.used(8 * GROUPS * size_of::<B>());
            for (g, w) in tile.iter_mut().enumerate() {
                let blocks = panel.group::<8>(8 * (GROUPS * pair + g)).blocks(b);
                w.scales = scales(blocks);
                unpack(blocks, &mut Out { w, x: &x.at(b)[0], sum: _mm256_setzero_si256() });
            }
        }
        for (x, results) in x.at(b).chunks(STEP_TOKENS).zip(results.chunks_mut(STEP_TOKENS)) {
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
            let scales = [&tile[0], &tile[1]].map(|w| w.scales.scales[at]);
            add_scaled::<BITS, SHIFTED, 8, 2, GROUPS, T>(sums, q, a, begin, scales)
        } else {
            let a = x.each_ref().map(|x| bytemuck::cast_ref(&x.q[at]));
            let begin = x.each_ref().map(|x| std::array::from_ref(&x.offsets[at]));
            let q = tile.each_ref().map(|w| &w.q.as_chunks().0[at]);
            let scales = [&tile[0], &tile[1]].map(|w| w.scales.scales[at]);
            add_scaled::<BITS, SHIFTED, 4, 1, GROUPS, T>(sums, q, a, begin, scales)
        };
    }
    let results: &mut [[f32; PANEL_ROWS]; T] = results.first_chunk_mut().expect("a step's tokens");
    for t in 0..T {
        for g in 0..GROUPS {
            let product = scaled::<BITS, GROUP, SHIFTED>(sums[g][t], &tile[g].scales, &x[t]);
            let results = &mut results[t].as_chunks_mut().0[GROUPS * pair + g];
            let acc = load_floats(results);
            store_floats(results, _mm256_fmadd_ps(product, _mm256_set1_ps(x[t].d), acc));
        }
    }
}

/// A block's products as floats, but for the scale of the activations.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scaled<const BITS: u32, const GROUP: usize, const SHIFTED: bool>(
    sum: __m256i,
    w: &Scales,
    x: &Run256,
) -> __m256 {
    let sum = _mm256_cvtepi32_ps(sum);
    if SHIFTED || BITS == 8 {
        return _mm256_mul_ps(sum, w.d);
    }
    let Minimums { min, dmin } = &w.minimums;
    let min = if GROUP == 16 {
        with_sums(min, bytemuck::cast_ref(&x.sums))
    } else {
        with_sums(min.first_chunk::<4>().expect("four of eight"), bytemuck::cast_ref(&x.sums_of_32))
    };
    _mm256_fmsub_ps(sum, w.d, _mm256_mul_ps(_mm256_cvtepi32_ps(min), *dmin))
}

/// Adds the products of `N` steps, which have one scale, times that. Shifted weights' begin with `begin`, one for
/// every four steps.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_scaled<
    const BITS: u32,
    const SHIFTED: bool,
    const N: usize,
    const BEGIN: usize,
    const G: usize,
    const T: usize,
>(
    mut sums: [[__m256i; T]; G],
    q: [&[__m256i; N]; G],
    a: [&[[i8; 4]; N]; T],
    begin: [&[[i16; 2]; BEGIN]; T],
    scales: [__m256i; G],
) -> [[__m256i; T]; G] {
    // Steps whose sums fit 16 bits: two products each of at most 2ᴮᴵᵀˢ · 127, of 127 · 127 for signed bytes. Those of
    // shifted weights are half as large when they are whole.
    let steps = const {
        match (128 << SHIFTED as u32) >> BITS {
            0 => 1,
            steps if steps < N => steps,
            _ => N,
        }
    };
    for first in (0..N).step_by(steps) {
        let mut pairs = [[_mm256_setzero_si256(); T]; G];
        if SHIFTED {
            for t in 0..T {
                let mut sum = broadcast_2(&begin[t][0]);
                for pair in &begin[t][1..] {
                    sum = _mm256_add_epi16(sum, broadcast_2(pair));
                }
                let begin = settled(sum);
                for pairs in &mut pairs {
                    pairs[t] = begin;
                }
            }
        }
        for j in first..first + steps {
            for t in 0..T {
                let a = broadcast_4(&a[t][j]);
                for g in 0..G {
                    let products = if BITS == 8 {
                        _mm256_maddubs_epi16(_mm256_abs_epi8(q[g][j]), _mm256_sign_epi8(a, q[g][j]))
                    } else {
                        _mm256_maddubs_epi16(q[g][j], a)
                    };
                    pairs[g][t] = settled(_mm256_add_epi16(pairs[g][t], products));
                }
            }
        }
        for g in 0..G {
            for t in 0..T {
                let wide = _mm256_madd_epi16(pairs[g][t], scales[g]);
                sums[g][t] = settled(_mm256_add_epi32(sums[g][t], wide));
            }
        }
    }
    sums
}

/// `Σ min_s · Σa`, two groups a lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn with_sums<const N: usize>(min: &[__m256i; N], sums_of_a: &[[i16; 2]; N]) -> __m256i {
    let mut sum = _mm256_setzero_si256();
    for (min, a) in min.iter().zip(sums_of_a) {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(*min, broadcast_2(a)));
    }
    sum
}

/// Eight rows that plain code has unpacked: for types whose bits it takes apart fast enough when it is compiled with
/// this level's features. Their weights;
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn turn<const BITS: u32, const GROUP: usize, const ALONE: bool>(
    rows: &[scalar::Unpacked; 8],
    out: &mut Out<'_, BITS, GROUP, true, ALONE>,
) {
    let q = rows.each_ref().map(|row| bytemuck::cast_ref::<[i8; 256], [[u8; 16]; 16]>(&row.q));
    for at in 0..16 {
        let mut four = transpose(q.map(|q| &q[at]));
        for q in &mut four {
            *q = _mm256_add_epi8(*q, _mm256_set1_epi8(OFFSET as i8));
        }
        out.put(at, four);
    }
}

/// Two bits of each weight, laid out as in Q2_K: each sixteen bytes have those of four runs of sixteen weights, 32 apart. `with`
/// gets them with the number of the run, and makes of them what is put.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn two_bits<const BITS: u32, const GROUP: usize, const SHIFTED: bool, const ALONE: bool>(
    rows: [&[u8; 64]; 8],
    out: &mut Out<'_, BITS, GROUP, SHIFTED, ALONE>,
    with: impl Fn(usize, [__m256i; 4]) -> [__m256i; 4],
) {
    // One after the other, not a loop: an address is a row's and a number then, and eight rows fill the registers.
    sixteen_bytes::<0, _, _, _, _>(rows, out, &with);
    sixteen_bytes::<1, _, _, _, _>(rows, out, &with);
    sixteen_bytes::<2, _, _, _, _>(rows, out, &with);
    sixteen_bytes::<3, _, _, _, _>(rows, out, &with);
}

/// Those of sixteen bytes of each row.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sixteen_bytes<
    const AT: usize,
    const BITS: u32,
    const GROUP: usize,
    const SHIFTED: bool,
    const ALONE: bool,
>(
    rows: [&[u8; 64]; 8],
    out: &mut Out<'_, BITS, GROUP, SHIFTED, ALONE>,
    with: impl Fn(usize, [__m256i; 4]) -> [__m256i; 4],
) {
    let bytes = transpose(rows.map(|row| &row.as_chunks().0[AT]));
    let first = AT / 2 * 8 + AT % 2;
    let two = |x| _mm256_and_si256(x, _mm256_set1_epi8(3));
    out.put(first, with(first, bytes.map(two)));
    macro_rules! shifted {
        ($($by:literal)*) => {$(
            let bits = bytes.map(|x| two(_mm256_srli_epi16::<$by>(x)));
            out.put(first + $by, with(first + $by, bits));
        )*};
    }
    shifted!(2 4 6);
}

/// Sixteen signed bytes of each row, four in a lane of each vector, each twice in 16 bits. Not by a loop, in which what
/// gathers the bytes was computed: that took as long as all the rest.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn twice([a, b, c, d]: [__m256i; 4]) -> [__m256i; 16] {
    // As the upper of two bytes, and down with its sign.
    let of = |four, at| _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(four, upper(at)));
    let (first, second, third, last) = ([0, 0], [1, 1], [2, 2], [3, 3]);
    [
        of(a, first),
        of(a, second),
        of(a, third),
        of(a, last),
        of(b, first),
        of(b, second),
        of(b, third),
        of(b, last),
        of(c, first),
        of(c, second),
        of(c, third),
        of(c, last),
        of(d, first),
        of(d, second),
        of(d, third),
        of(d, last),
    ]
}

/// The same, two neighbours side by side.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn pairs([a, b, c, d]: [__m256i; 4]) -> [__m256i; 8] {
    let of = |four, at| _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(four, upper(at)));
    let (low, high) = ([0, 1], [2, 3]);
    [of(a, low), of(a, high), of(b, low), of(b, high), of(c, low), of(c, high), of(d, low), of(d, high)]
}
