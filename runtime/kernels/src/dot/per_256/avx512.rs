//! Sixteen rows at a time, a row a lane; four columns of each are a step, and one instruction multiplies and sums them.
//!
//! It wants unsigned weights: they are unpacked with an offset added, which every sum begins by repaying. A sum of few
//! enough steps then fits 16 bits (8 · 4 · 8 · 127 = 32 512 for four bits, half as many steps for each bit more), and one
//! instruction multiplies it by its scale and adds, where a product of 32 bits and a sum are three.

pub(crate) mod alone;

use super::amx;
use crate::activations::{Per256, Run256};
use crate::isa;
use crate::isa::avx512::{
    Avx512, add_products_of_16, broadcast_4, load_32, load_floats, store_32, store_floats, store_ints,
    transpose,
};
use crate::unpack::{Group, PANEL_ROWS, Panel, Results};
use blocks::Block;
use core::arch::x86_64::*;

/// A block of 256 weights of sixteen rows: `d · scale · (q − offset)`, or with minimums `d · scale · q − dmin · min`.
#[derive(Clone, Copy)]
pub(crate) struct Unpacked {
    /// Columns `4j … 4j + 3` of each row in its lane, unsigned.
    pub(crate) q: [__m512i; 64],
    /// The scale of group `j` of sixteen of each row in its lane: 16 bits, and zeros above where sums fit 16 bits.
    pub(crate) scales: [__m512i; 16],
    pub(crate) d: __m512,
    /// Not looked at for a type that has none.
    pub(crate) minimums: Minimums,
}

impl Unpacked {
    /// Room to be filled.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub(super) fn nothing() -> Self {
        let zero = _mm512_setzero_si512();
        Self { q: [zero; 64], scales: [zero; 16], d: _mm512_setzero_ps(), minimums: Minimums::none() }
    }
}

/// Minimums of sixteen rows.
#[derive(Clone, Copy)]
pub(crate) struct Minimums {
    /// Those of groups `2j` and `2j + 1` of each row in its lane, 16 bits each; four of these if groups are of 32.
    pub(crate) min: [__m512i; 8],
    /// Scales, laid out alike, times the part of the offset that [`SUMS`] does not hold.
    pub(crate) scales: [__m512i; 4],
    pub(crate) dmin: __m512,
}

impl Minimums {
    /// For a type that has none.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub(crate) fn none() -> Self {
        let zero = _mm512_setzero_si512();
        Self { min: [zero; 8], scales: [zero; 4], dmin: _mm512_setzero_ps() }
    }
}

/// What the sums of activations that meet the minimums are multiplied by: so much that one of 32 still fits 16 bits.
pub(crate) const SUMS: i32 = 8;

/// Groups of sixteen rows in a panel.
pub(super) const GROUPS: usize = 2;

/// Tokens of a step: with two groups of rows, twelve sums of a scale's weights and twelve of a block, of 32 registers.
const STEP_TOKENS: usize = 6;

/// How the weights of a type are unpacked.
pub(crate) trait Layout {
    /// What was added to them.
    const OFFSET: i32;
    /// Steps whose sums fit 16 bits and have one scale; if even those of two do not, those that have one scale.
    const STEPS: usize;
    /// Whether they fit.
    const NARROW: bool;
    /// How many minimums a block has: 16, 8 or none. With minimums weights are unsigned.
    const MINIMUMS: usize;
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn multiply<L: Layout, B: Block>(
    level: Avx512,
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 16], &mut Unpacked),
) {
    if let Some(amx) = level.amx().filter(|_| results.len() >= isa::amx::STEP_TOKENS) {
        return amx::multiply::<L, B>(amx, panel, x, results, unpack);
    }
    let mut w = [Unpacked::nothing(); GROUPS];
    let rows: [Group<'_, B, 16>; GROUPS] = [panel.group(0), panel.group(16)];
    let (alone, mut ahead) = (results.len() == 1, panel.ahead::<8>(PANEL_ROWS, PANEL_ROWS));
    for b in 0..x.n_runs() {
        // Fetched bit by bit: more at once than lines can be on their way would hold up what comes after.
        let n_bytes = PANEL_ROWS * size_of::<B>();
        for (rows, w) in rows.iter().zip(&mut w) {
            if alone {
                ahead.used(n_bytes / 4);
            }
            unpack(rows.blocks(b), w);
            if L::MINIMUMS != 0 {
                // What their sums are multiplied by too often, exactly: it is a power of two.
                w.minimums.dmin = _mm512_mul_ps(w.minimums.dmin, _mm512_set1_ps(1.0 / SUMS as f32));
            }
        }
        let mut fetch = |n_parts| {
            if alone {
                ahead.used(n_bytes / 2 / n_parts);
            }
        };
        let n_steps = results.len().div_ceil(STEP_TOKENS);
        let steps = x.at(b).chunks(STEP_TOKENS).zip(results.chunks_mut(STEP_TOKENS));
        for (i, (x, results)) in steps.enumerate() {
            if !alone {
                panel.fetch(b + 1..b + 2, i, n_steps);
            }
            match results.len() {
                1 => add_block::<L, 1>(&w, x, results, &mut fetch),
                2 => add_block::<L, 2>(&w, x, results, &mut |_| ()),
                3 => add_block::<L, 3>(&w, x, results, &mut |_| ()),
                4 => add_block::<L, 4>(&w, x, results, &mut |_| ()),
                5 => add_block::<L, 5>(&w, x, results, &mut |_| ()),
                _ => add_block::<L, STEP_TOKENS>(&w, x, results, &mut |_| ()),
            }
        }
    }
}

/// Adds a block's products with `T` tokens to a panel's results, and in each of its parts calls `fetch` with their number.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn add_block<L: Layout, const T: usize>(
    w: &[Unpacked; GROUPS],
    x: &[Run256],
    results: &mut Results,
    fetch: &mut impl FnMut(usize),
) {
    let x: &[Run256; T] = x.first_chunk().expect("a step's tokens");
    let results: &mut [[f32; PANEL_ROWS]; T] = results.first_chunk_mut().expect("a step's tokens");
    // Ahead, and in memory: the kernel loads each repeated, where a number from a register would cost it a shuffle.
    let (mut begin, mut pairs) = ([[0; 32]; T], [[0; 8]; T]);
    for t in 0..T {
        begin_of::<L>(&x[t], &mut begin[t]);
        pairs_of::<L>(&x[t], &mut pairs[t]);
    }
    let mut sums = [[_mm512_setzero_si512(); GROUPS]; T];
    for (at, first) in (0..64).step_by(L::STEPS).enumerate() {
        fetch(64 / L::STEPS);
        let mut parts: [[__m512i; GROUPS]; T] =
            std::array::from_fn(|t| [_mm512_set1_epi32(begin[t][at]); GROUPS]);
        for j in first..first + L::STEPS {
            for (parts, x) in parts.iter_mut().zip(x) {
                let a = broadcast_4(&x.q.as_flattened().as_chunks().0[j]);
                for (part, w) in parts.iter_mut().zip(w) {
                    *part = _mm512_dpbusd_epi32(*part, w.q[j], a);
                }
            }
        }
        for (sums, parts) in sums.iter_mut().zip(parts) {
            for ((sum, part), w) in sums.iter_mut().zip(parts).zip(w) {
                let scale = w.scales[first / 4];
                *sum = if L::NARROW {
                    add_products_of_16(*sum, part, scale)
                } else {
                    _mm512_add_epi32(*sum, _mm512_mullo_epi32(part, scale))
                };
            }
        }
    }
    for t in 0..T {
        for ((results, mut sum), w) in results[t].as_chunks_mut().0.iter_mut().zip(sums[t]).zip(w) {
            if L::MINIMUMS != 0 && L::OFFSET != 0 {
                for (scales, &sums) in w.minimums.scales.iter().zip(&pairs[t]) {
                    sum = add_products_of_16(sum, *scales, _mm512_set1_epi32(sums));
                }
            }
            store_floats(
                results,
                add_floats::<L>(load_floats(results), sum, w.d, &w.minimums, x[t].d, &pairs[t]),
            );
        }
    }
}

/// A block's part in floats: its integer sum, scaled by the weights' and the activations' scales, and the minimums, which meet
/// `pairs` of sums of activations.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn add_floats<L: Layout>(
    acc: __m512,
    sum: __m512i,
    scale: __m512,
    minimums: &Minimums,
    d: f32,
    pairs: &[i32],
) -> __m512 {
    let product = if L::MINIMUMS == 0 {
        _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale)
    } else {
        let mut min = _mm512_setzero_si512();
        for (mins, &sums) in minimums.min.iter().zip(&pairs[..L::MINIMUMS / 2]) {
            min = add_products_of_16(min, *mins, _mm512_set1_epi32(sums));
        }
        let min = _mm512_mul_ps(_mm512_cvtepi32_ps(min), minimums.dmin);
        _mm512_fmsub_ps(_mm512_cvtepi32_ps(sum), scale, min)
    };
    _mm512_fmadd_ps(product, _mm512_set1_ps(d), acc)
}

/// What each sum of [`Layout::STEPS`] begins with.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn begin_of<L: Layout>(x: &Run256, begin: &mut [i32; 32]) {
    let (low, high) = begin.split_at_mut(16);
    // Sums of sixteen bits as pairs: two of them, or one and nothing, times the offset make one of 32.
    let offset = _mm512_set1_epi16(-L::OFFSET as i16);
    let sums = load_32(bytemuck::cast_ref(&x.sums));
    match L::STEPS {
        2 => {
            for (sums, begin) in bytemuck::cast_ref::<_, [[u8; 32]; 2]>(&x.sums_of_8).iter().zip([low, high])
            {
                let begin = begin.first_chunk_mut().expect("half of 32");
                store_ints(begin, _mm512_madd_epi16(_mm512_cvtepu16_epi32(load_32(sums)), offset));
            }
        }
        4 => {
            let begin = low.first_chunk_mut().expect("half of 32");
            store_ints(begin, _mm512_madd_epi16(_mm512_cvtepu16_epi32(sums), offset));
        }
        8 => {
            let of_32 = _mm256_madd_epi16(sums, _mm512_castsi512_si256(offset));
            store_ints(low.first_chunk_mut().expect("half of 32"), _mm512_castsi256_si512(of_32));
        }
        steps => unreachable!("sums of {steps} steps"),
    }
}

/// Sums of the activations that have one of [`Layout::MINIMUMS`], in 16 bits each, times [`SUMS`].
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn pairs_of<L: Layout>(x: &Run256, pairs: &mut [i32; 8]) {
    let (sums, times) = (load_32(bytemuck::cast_ref(&x.sums)), _mm256_set1_epi16(SUMS as i16));
    let sums = match L::MINIMUMS {
        0 => return,
        16 => _mm256_mullo_epi16(sums, times),
        _ => _mm256_castsi128_si256(_mm256_cvtepi32_epi16(_mm256_madd_epi16(sums, times))),
    };
    store_32(bytemuck::cast_mut(pairs), sums);
}

/// One number of 16 bits in all lanes of the first half, another in those of the second.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn by_halves(first: i16, second: i16) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_set1_epi16(first), _mm256_set1_epi16(second))
}

/// Two bits of each weight, laid out as in Q2_K: sixteen bytes have those of four runs of sixteen weights, 32 apart.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn two_bits(rows: [&[u8; 64]; 16], out: &mut Unpacked) {
    let two = _mm512_set1_epi8(3);
    for at in 0..4 {
        let q = &mut out.q[at / 2 * 32 + at % 2 * 4..];
        for (j, bytes) in transpose(rows.map(|row| &row.as_chunks().0[at])).into_iter().enumerate() {
            q[j] = _mm512_and_si512(bytes, two);
            q[j + 8] = _mm512_and_si512(_mm512_srli_epi16::<2>(bytes), two);
            q[j + 16] = _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), two);
            q[j + 24] = _mm512_and_si512(_mm512_srli_epi16::<6>(bytes), two);
        }
    }
}

/// The same of a row, sixty-four weights after sixty-four.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn two_bits_in_order(bytes: &[u8; 64]) -> [__m512i; 4] {
    let [first, second] = [0, 1].map(|half| _mm512_broadcast_i64x4(load_32(&bytes.as_chunks().0[half])));
    [(first, 0), (first, 4), (second, 0), (second, 4)].map(|(bytes, at)| {
        _mm512_and_si512(_mm512_srlv_epi16(bytes, by_halves(at, at + 2)), _mm512_set1_epi8(3))
    })
}

/// Adds `VALUE` to weights of a row whose bit is set: the first 32 have the lowest bits of 32 bytes, the next the next.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn add_bits_in_order<const VALUE: i8>(weights: [__m512i; 4], bits: &[u8; 32]) -> [__m512i; 4] {
    let (bits, [a, b, c, d]) = (_mm512_broadcast_i64x4(load_32(bits)), weights);
    [(a, 0), (b, 2), (c, 4), (d, 6)].map(|(weights, at)| {
        let bit = |at: i32| 0x0101_i16.wrapping_shl(at as u32);
        let set = _mm512_test_epi8_mask(bits, by_halves(bit(at), bit(at + 1)));
        _mm512_mask_add_epi8(weights, set, weights, _mm512_set1_epi8(VALUE))
    })
}

/// Sixteen signed bytes of each row, four in a lane of each vector, as [`Unpacked::scales`] of narrow sums: a lane has one,
/// in 16 bits, and zeros above.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn narrow_scales(bytes: [__m512i; 4]) -> [__m512i; 16] {
    let mut out = [_mm512_setzero_si512(); 16];
    for (four, out) in bytes.into_iter().zip(out.as_chunks_mut::<4>().0) {
        // The byte to the top of a lane, down with its sign, and the sign's copies above 16 bits away.
        let low = _mm512_set1_epi32(0xffff);
        *out = [
            _mm512_and_si512(_mm512_srai_epi32::<24>(_mm512_slli_epi32::<24>(four)), low),
            _mm512_and_si512(_mm512_srai_epi32::<24>(_mm512_slli_epi32::<16>(four)), low),
            _mm512_and_si512(_mm512_srai_epi32::<24>(_mm512_slli_epi32::<8>(four)), low),
            _mm512_and_si512(_mm512_srai_epi32::<24>(four), low),
        ];
    }
    out
}

/// Bytes 0 and 1, and 2 and 3 of each lane, as numbers of 16 bits.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn pairs(bytes: __m512i) -> [__m512i; 2] {
    // Within each 128 bits: byte 2i and nothing, byte 2i + 1 and nothing, for the four lanes.
    let low = _mm512_set4_epi32(
        0x800d_800c_u32 as i32,
        0x8009_8008_u32 as i32,
        0x8005_8004_u32 as i32,
        0x8001_8000_u32 as i32,
    );
    let high = _mm512_add_epi8(low, _mm512_set1_epi32(0x0002_0002));
    [_mm512_shuffle_epi8(bytes, low), _mm512_shuffle_epi8(bytes, high)]
}

/// Sixteen bytes of each row, four in a lane of each vector, as [`Minimums::min`] has them.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn scale_pairs(bytes: [__m512i; 4]) -> [__m512i; 8] {
    let [[a, b], [c, d], [e, f], [g, h]] = bytes.map(|bytes| pairs(bytes));
    [a, b, c, d, e, f, g, h]
}
