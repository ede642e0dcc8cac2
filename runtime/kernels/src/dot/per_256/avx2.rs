//! Eight rows at a time, a row a lane; four columns of each are a step. Products are summed in 16 bits as long as they
//! fit (2 · 2 · 63 · 127 = 32 004 for six bits, 8 · 2 · 15 · 127 = 30 480 for four), and the multiplication by a group's
//! scale is the one that widens them.
//!
//! Dot products of bytes bring nothing here: with AVX-VNNI's, as AVX-512 uses its own, Q4_K came to 190 · 10⁹ multiply-adds a
//! second on two cores where this comes to 235 (IQ4_XS 200 for 146, but a token alone read 15 GB/s for 20).
//!
//! On one core of a Zen 3, whose peak is 164 · 10⁹: a tile of eight rows with four tokens, summed in the compiler's own order, came
//! to 94 with Q4_K, 90 with Q3_K and 86 with Q6_K, where this comes to 103, 95 and 82. Sums by reference in nested loops,
//! which the compiler left in memory, took Q6_K from 0.50 of the peak to 0.33.

use super::scalar;
use crate::activations::{Per256, Run256};
use crate::isa::avx2::{Level, broadcast_4, load_floats, settled, store_floats, transpose};
use crate::unpack::{PANEL_ROWS, Panel, Results};
use blocks::Block;
use core::arch::x86_64::*;

/// A block of 256 weights `d · scale · (q − offset) − dmin · min` of eight rows.
#[derive(Clone, Copy)]
struct Unpacked {
    /// Columns `4j … 4j + 3` of each row in its lane: unsigned for up to six bits, signed for eight.
    q: [__m256i; 64],
    scales: Scales,
    /// For groups of sixteen, the scale of each in both halves of its lane.
    repeated: [__m256i; 16],
}

impl Unpacked {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn nothing() -> Self {
        let (zero, none) = (_mm256_setzero_si256(), _mm256_setzero_ps());
        let scales = Scales { scales: [zero; 8], d: none, minimums: None };
        Self { q: [zero; 64], scales, repeated: [zero; 16] }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn take<const GROUP: usize>(&mut self, scales: Scales) {
        self.scales = scales;
        if GROUP == 16 {
            // The even and the odd of a lane's two numbers of 16 bits.
            let [even, odd] = [0x0504_0504_0100_0100, 0x0706_0706_0302_0302].map(|low| {
                let high = low + 0x0808_0808_0808_0808;
                _mm256_set_epi64x(high, low, high, low)
            });
            for (two, scales) in self.repeated.as_chunks_mut().0.iter_mut().zip(self.scales.scales) {
                *two = [_mm256_shuffle_epi8(scales, even), _mm256_shuffle_epi8(scales, odd)];
            }
        }
    }
}

/// What a block has beside its weights.
#[derive(Clone, Copy)]
pub(crate) struct Scales {
    /// Scales of groups `2j` and `2j + 1` of sixteen of each row in its lane, 16 bits each.
    pub(crate) scales: [__m256i; 8],
    pub(crate) d: __m256,
    /// `None` for a type that has none.
    pub(crate) minimums: Option<Minimums>,
}

/// Minimums of eight rows, laid out as the scales are.
#[derive(Clone, Copy)]
pub(crate) struct Minimums {
    pub(crate) min: [__m256i; 8],
    pub(crate) dmin: __m256,
}

/// Where weights of `BITS` bits with a scale for every `GROUP` (16 or 32) go, sixteen columns after sixteen in any order:
/// into a tile; or if there is a token `ALONE`, to be multiplied with it at once. By way of a tile a token alone took a
/// quarter longer (Q4_K from the second cache on Zen 3: 18 and 23 GB/s a core).
pub(crate) struct Out<'a, const BITS: u32, const GROUP: usize, const ALONE: bool> {
    w: &'a mut Unpacked,
    x: &'a Run256,
    sum: __m256i,
}

impl<const BITS: u32, const GROUP: usize, const ALONE: bool> Out<'_, BITS, GROUP, ALONE> {
    /// Takes columns `16at … 16at + 15`, four of each row in its lane.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(crate) fn put(&mut self, at: usize, q: [__m256i; 4]) {
        if ALONE {
            let scale = if GROUP == 32 { self.w.scales.scales[at / 2] } else { self.w.repeated[at] };
            let a = bytemuck::cast_ref(&self.x.q[at]);
            [[self.sum]] = add_scaled::<BITS, 4, 1, 1>([[self.sum]], [&q], [a], [scale]);
        } else {
            self.w.q.as_chunks_mut().0[at] = q;
        }
    }
}

/// Groups of eight rows in a tile, and tokens of a step: the six sums of a scale's weights, the six of a block and what
/// they are made of are sixteen registers.
const GROUPS: usize = 2;
const STEP_TOKENS: usize = 3;

/// For types whose weights are unpacked with `OFFSET` added; `alone` and `unpack` do so.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn multiply<const BITS: u32, const GROUP: usize, const OFFSET: i32, B: Block>(
    _: impl Level,
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut Results,
    scales: impl Fn([&B; 8]) -> Scales,
    alone: impl Fn([&B; 8], &mut Out<'_, BITS, GROUP, true>),
    unpack: impl Fn([&B; 8], &mut Out<'_, BITS, GROUP, false>),
) {
    if let [results] = results {
        stream::<BITS, GROUP, OFFSET, B>(panel, x, results, scales, alone);
    } else {
        tile::<BITS, GROUP, OFFSET, B>(panel, x, results, scales, unpack);
    }
}

/// One token: weights go from the file through registers, while the rows that come next are fetched.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn stream<const BITS: u32, const GROUP: usize, const OFFSET: i32, B: Block>(
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut [f32; PANEL_ROWS],
    scales: impl Fn([&B; 8]) -> Scales,
    alone: impl Fn([&B; 8], &mut Out<'_, BITS, GROUP, true>),
) {
    let mut w = Unpacked::nothing();
    for group in 0..panel.n_rows().div_ceil(8) {
        let rows = panel.group::<8>(8 * group);
        let mut ahead = panel.ahead(8 * (group + 1), 8);
        let mut acc = _mm256_setzero_ps();
        for b in 0..x.n_runs() {
            ahead.used(8 * size_of::<B>());
            let (blocks, x) = (rows.blocks(b), &x.at(b)[0]);
            w.take::<GROUP>(scales(blocks));
            let mut out = Out { w: &mut w, x, sum: _mm256_setzero_si256() };
            alone(blocks, &mut out);
            let sum = out.sum;
            acc = _mm256_fmadd_ps(scaled::<OFFSET>(sum, &w.scales, x), _mm256_set1_ps(x.d), acc);
        }
        store_floats(&mut results.as_chunks_mut().0[group], acc);
    }
}

/// Several tokens: a block of sixteen rows is unpacked once into a tile, which all tokens use.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<const BITS: u32, const GROUP: usize, const OFFSET: i32, B: Block>(
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut Results,
    scales: impl Fn([&B; 8]) -> Scales,
    unpack: impl Fn([&B; 8], &mut Out<'_, BITS, GROUP, false>),
) {
    let mut tile = [Unpacked::nothing(); GROUPS];
    results.fill([0.0; PANEL_ROWS]);
    for pair in 0..panel.n_rows().div_ceil(8 * GROUPS) {
        let rows: [_; GROUPS] = std::array::from_fn(|g| panel.group::<8>(8 * (GROUPS * pair + g)));
        let mut ahead = panel.ahead(8 * GROUPS * (pair + 1), 8 * GROUPS);
        for b in 0..x.n_runs() {
            ahead.used(8 * GROUPS * size_of::<B>());
            for (w, rows) in tile.iter_mut().zip(&rows) {
                w.take::<GROUP>(scales(rows.blocks(b)));
                unpack(rows.blocks(b), &mut Out { w, x: &x.at(b)[0], sum: _mm256_setzero_si256() });
            }
            for (x, results) in x.at(b).chunks(STEP_TOKENS).zip(results.chunks_mut(STEP_TOKENS)) {
                match results.len() {
                    1 => step::<BITS, GROUP, OFFSET, 1>(&tile, x, pair, results),
                    2 => step::<BITS, GROUP, OFFSET, 2>(&tile, x, pair, results),
                    _ => step::<BITS, GROUP, OFFSET, STEP_TOKENS>(&tile, x, pair, results),
                }
            }
        }
    }
}

/// Adds a tile's products with `T` tokens to the results of its rows. A function of its own, so that its registers are
/// its own.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn step<const BITS: u32, const GROUP: usize, const OFFSET: i32, const T: usize>(
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
            let q = tile.each_ref().map(|w| &w.q.as_chunks().0[at]);
            add_scaled::<BITS, 8, GROUPS, T>(sums, q, a, [&tile[0], &tile[1]].map(|w| w.scales.scales[at]))
        } else {
            let a = x.each_ref().map(|x| bytemuck::cast_ref(&x.q[at]));
            let q = tile.each_ref().map(|w| &w.q.as_chunks().0[at]);
            add_scaled::<BITS, 4, GROUPS, T>(sums, q, a, [&tile[0], &tile[1]].map(|w| w.repeated[at]))
        };
    }
    for (t, results) in results.iter_mut().enumerate().take(T) {
        for (g, w) in tile.iter().enumerate() {
            let product = scaled::<OFFSET>(sums[g][t], &w.scales, &x[t]);
            let results = &mut results.as_chunks_mut().0[GROUPS * pair + g];
            let acc = load_floats(results);
            store_floats(results, _mm256_fmadd_ps(product, _mm256_set1_ps(x[t].d), acc));
        }
    }
}

/// A block's products as floats, but for the scale of the activations.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scaled<const OFFSET: i32>(mut sum: __m256i, w: &Scales, x: &Run256) -> __m256 {
    if OFFSET != 0 {
        let offsets = with_sums(&w.scales, &x.sums);
        sum = _mm256_sub_epi32(sum, _mm256_mullo_epi32(offsets, _mm256_set1_epi32(OFFSET)));
    }
    let sum = _mm256_cvtepi32_ps(sum);
    match &w.minimums {
        Some(Minimums { min, dmin }) => {
            let min = _mm256_cvtepi32_ps(with_sums(min, &x.sums));
            _mm256_fmsub_ps(sum, w.d, _mm256_mul_ps(min, *dmin))
        }
        None => _mm256_mul_ps(sum, w.d),
    }
}

/// Adds the products of `N` steps, which have one scale, times that.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_scaled<const BITS: u32, const N: usize, const G: usize, const T: usize>(
    mut sums: [[__m256i; T]; G],
    q: [&[__m256i; N]; G],
    a: [&[[i8; 4]; N]; T],
    scales: [__m256i; G],
) -> [[__m256i; T]; G] {
    // Steps whose sums fit 16 bits: two products each of at most 2ᴮᴵᵀˢ · 127, of 127 · 127 for signed bytes.
    let steps = const {
        match 128 >> BITS {
            0 => 1,
            steps if steps < N => steps,
            _ => N,
        }
    };
    for first in (0..N).step_by(steps) {
        let mut pairs = [[_mm256_setzero_si256(); T]; G];
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

/// `Σ_s x_s · Σa` over the groups of sixteen: what an offset multiplies, or what minimums take away.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn with_sums(x: &[__m256i; 8], sums_of_a: &[i16; 16]) -> __m256i {
    let mut sum = _mm256_setzero_si256();
    for (x, &a) in x.iter().zip(bytemuck::cast_ref::<[i16; 16], [i32; 8]>(sums_of_a)) {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(*x, _mm256_set1_epi32(a)));
    }
    sum
}

/// Eight rows that plain code has unpacked: for types whose bits it takes apart fast enough when it is compiled with
/// this level's features. Their weights;
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn turn<const OFFSET: i32, const BITS: u32, const GROUP: usize, const ALONE: bool>(
    rows: &[scalar::Unpacked; 8],
    out: &mut Out<'_, BITS, GROUP, ALONE>,
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

/// Two bits of each weight, laid out as in Q2_K: sixteen bytes have those of four runs of sixteen weights, 32 apart.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn two_bits(rows: [&[u8; 64]; 8], mut put: impl FnMut(usize, [__m256i; 4])) {
    for at in 0..4 {
        let two = |x| _mm256_and_si256(x, _mm256_set1_epi8(3));
        let [a, b, c, d] = transpose(rows.map(|row| &row.as_chunks().0[at]));
        let first = at / 2 * 8 + at % 2;
        put(first, [two(a), two(b), two(c), two(d)]);
        macro_rules! shifted {
            ($($by:literal)*) => {$(
                let bits = |x| two(_mm256_srli_epi16::<$by>(x));
                put(first + $by, [bits(a), bits(b), bits(c), bits(d)]);
            )*};
        }
        shifted!(2 4 6);
    }
}

/// Scales or minimums, sixteen signed bytes of each row with four in a lane of each vector, as [`Unpacked`] has them.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn pairs(fours: [__m256i; 4]) -> [__m256i; 8] {
    let mut out = [_mm256_setzero_si256(); 8];
    for (four, pairs) in fours.into_iter().zip(out.as_chunks_mut::<2>().0) {
        let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(four));
        let odd = _mm256_srai_epi16::<8>(four);
        // even holds numbers 0 and 2 of the four, odd 1 and 3.
        let mask = _mm256_set1_epi32(0xffff);
        pairs[0] = _mm256_or_si256(_mm256_and_si256(even, mask), _mm256_slli_epi32::<16>(odd));
        pairs[1] = _mm256_or_si256(_mm256_srli_epi32::<16>(even), _mm256_andnot_si256(mask, odd));
    }
    out
}
