//! Eight rows at a time, a row a lane; four columns of each are a step. Products are summed in 16 bits as long as they
//! fit (2 · 2 · 63 · 127 = 32 004 for six bits, 8 · 2 · 15 · 127 = 30 480 for four), and the multiplication by a group's
//! scale is the one that widens them.
//!
//! Dot products of bytes bring nothing here: with AVX-VNNI's, as AVX-512 uses its own, Q4_K came to 190 · 10⁹ multiply-adds a
//! second on two cores where this comes to 235 (IQ4_XS 200 for 146, but a token alone read 15 GB/s for 20).

use super::scalar;
use crate::activations::{Per256, Run256};
use crate::isa::avx2::{Level, broadcast_4, load_floats, store_floats, transpose};
use crate::unpack::{Panel, Results};
use blocks::Block;
use core::arch::x86_64::*;

/// A block of 256 weights `d · scale · (q − offset) − dmin · min` of eight rows.
#[derive(Clone, Copy)]
pub(crate) struct Unpacked {
    /// Columns `4j … 4j + 3` of each row in its lane: unsigned for up to six bits, signed for eight.
    pub(crate) q: [__m256i; 64],
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

/// Tokens of a step.
const STEP_TOKENS: usize = 4;

/// For types of `BITS` bits with a scale for every `GROUP` (16 or 32), whose weights are unpacked with `OFFSET` added.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn multiply<const BITS: u32, const GROUP: usize, const OFFSET: i32, B: Block>(
    _: impl Level,
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 8], &mut Unpacked),
) {
    let zero = _mm256_setzero_si256();
    let mut w = Unpacked { q: [zero; 64], scales: [zero; 8], d: _mm256_setzero_ps(), minimums: None };
    for group in 0..panel.n_rows().div_ceil(8) {
        let rows = panel.group::<8>(8 * group);
        let mut ahead = panel.ahead(8 * (group + 1), 8);
        for results in &mut *results {
            store_floats(&mut results.as_chunks_mut().0[group], _mm256_setzero_ps());
        }
        for b in 0..x.n_runs() {
            ahead.used(8 * size_of::<B>());
            unpack(rows.blocks(b), &mut w);
            for (x, results) in x.at(b).chunks(STEP_TOKENS).zip(results.chunks_mut(STEP_TOKENS)) {
                match results.len() {
                    1 => add_block::<BITS, GROUP, OFFSET, 1>(&w, x, group, results),
                    2 => add_block::<BITS, GROUP, OFFSET, 2>(&w, x, group, results),
                    3 => add_block::<BITS, GROUP, OFFSET, 3>(&w, x, group, results),
                    _ => add_block::<BITS, GROUP, OFFSET, STEP_TOKENS>(&w, x, group, results),
                }
            }
        }
    }
}

/// Adds a block's products with `T` tokens to a group's results.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_block<const BITS: u32, const GROUP: usize, const OFFSET: i32, const T: usize>(
    w: &Unpacked,
    x: &[Run256],
    group: usize,
    results: &mut Results,
) {
    // Steps of a group whose sums fit 16 bits: two products each of at most 2ᴮᴵᵀˢ · 127, of 127 · 127 for signed bytes.
    let steps = const {
        match 128 >> BITS {
            0 => 1,
            steps if steps < GROUP / 4 => steps,
            _ => GROUP / 4,
        }
    };
    let x: &[Run256; T] = x.first_chunk().expect("a step's tokens");
    let a: [&[[i8; 4]; 64]; T] = x.each_ref().map(|x| bytemuck::cast_ref(&x.q));
    // Repeats the even or the odd of a lane's two numbers of 16 bits.
    let (even, odd) = (0x0504_0504_0100_0100, 0x0706_0706_0302_0302);
    let repeats = [even, odd].map(|low| {
        let high = low + 0x0808_0808_0808_0808;
        _mm256_set_epi64x(high, low, high, low)
    });
    let mut sums = [_mm256_setzero_si256(); T];
    for (pair, scales) in w.scales.iter().enumerate() {
        for (group, repeat) in repeats.into_iter().enumerate().take(32 / GROUP) {
            let scale = if GROUP == 32 { *scales } else { _mm256_shuffle_epi8(*scales, repeat) };
            let start = 8 * pair + GROUP / 4 * group;
            for first in (start..start + GROUP / 4).step_by(steps) {
                let mut pairs = [_mm256_setzero_si256(); T];
                for (j, q) in w.q.iter().enumerate().skip(first).take(steps) {
                    for t in 0..T {
                        let a = broadcast_4(&a[t][j]);
                        let products = if BITS == 8 {
                            _mm256_maddubs_epi16(_mm256_abs_epi8(*q), _mm256_sign_epi8(a, *q))
                        } else {
                            _mm256_maddubs_epi16(*q, a)
                        };
                        pairs[t] = _mm256_add_epi16(pairs[t], products);
                    }
                }
                for t in 0..T {
                    sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(pairs[t], scale));
                }
            }
        }
    }
    for (t, results) in results.iter_mut().enumerate().take(T) {
        let sums_of_a = &x[t].sums;
        if OFFSET != 0 {
            let offsets = with_sums(&w.scales, sums_of_a);
            sums[t] = _mm256_sub_epi32(sums[t], _mm256_mullo_epi32(offsets, _mm256_set1_epi32(OFFSET)));
        }
        let sum = _mm256_cvtepi32_ps(sums[t]);
        let product = match &w.minimums {
            Some(Minimums { min, dmin }) => {
                let min = _mm256_cvtepi32_ps(with_sums(min, sums_of_a));
                _mm256_fmsub_ps(sum, w.d, _mm256_mul_ps(min, *dmin))
            }
            None => _mm256_mul_ps(sum, w.d),
        };
        let results = &mut results.as_chunks_mut().0[group];
        let acc = load_floats(results);
        store_floats(results, _mm256_fmadd_ps(product, _mm256_set1_ps(x[t].d), acc));
    }
}

/// `Σ_s x_s · Σa` over the groups of sixteen: what an offset multiplies, or what minimums take away.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn with_sums(x: &[__m256i; 8], sums_of_a: &[i16; 16]) -> __m256i {
    let mut sum = _mm256_setzero_si256();
    for (x, a) in x.iter().zip(sums_of_a.as_chunks::<2>().0) {
        let [low, high] = a.map(|a| u32::from(a as u16));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(*x, _mm256_set1_epi32((low | high << 16) as i32)));
    }
    sum
}

/// Eight rows that plain code has unpacked: for types whose bits it takes apart fast enough when it is compiled with
/// this level's features.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn turn<const OFFSET: i32>(rows: &[scalar::Unpacked; 8], out: &mut Unpacked) {
    let rows = rows.each_ref();
    let q = rows.map(|row| bytemuck::cast_ref::<[i8; 256], [[u8; 16]; 16]>(&row.q));
    for (at, out) in out.q.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let offset = _mm256_set1_epi8(OFFSET as i8);
        *out = transpose(q.map(|q| &q[at])).map(|q| _mm256_add_epi8(q, offset));
    }
    out.scales = pairs(transpose(rows.map(|row| bytemuck::cast_ref(&row.scales))));
    out.d = load_floats(&rows.map(|row| row.d));
    let none = ([0; 16], 0.0);
    let minimums = rows.map(|row| row.minimums.as_ref().unwrap_or(&none));
    out.minimums = rows[0].minimums.is_some().then(|| Minimums {
        min: pairs(transpose(minimums.map(|(min, _)| bytemuck::cast_ref(min)))),
        dmin: load_floats(&minimums.map(|&(_, dmin)| dmin)),
    });
}

/// Two bits of each weight, laid out as in Q2_K: sixteen bytes have those of four runs of sixteen weights, 32 apart.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn two_bits(rows: [&[u8; 64]; 8], out: &mut Unpacked) {
    let two = _mm256_set1_epi8(3);
    for at in 0..4 {
        let q = &mut out.q[at / 2 * 32 + at % 2 * 4..];
        for (j, bytes) in transpose(rows.map(|row| &row.as_chunks().0[at])).into_iter().enumerate() {
            q[j] = _mm256_and_si256(bytes, two);
            q[j + 8] = _mm256_and_si256(_mm256_srli_epi16::<2>(bytes), two);
            q[j + 16] = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), two);
            q[j + 24] = _mm256_and_si256(_mm256_srli_epi16::<6>(bytes), two);
        }
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
