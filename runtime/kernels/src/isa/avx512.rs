//! AVX-512 with VNNI, and with AMX's tiles where asked for. Its features contain AVX2, FMA and F16C, so that kernels may call on
//! `avx2` too.

use super::amx::Amx;
use super::avx_vnni::Encoding;
use super::avx2::{self, load_16};
use blocks::{Block, F16};
use core::arch::x86_64::*;

/// The proof that this processor has AVX-512 F, BW, VL, DQ and VNNI, and AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512 {
    avx2: avx2::Avx2,
    amx: Option<Amx>,
}

impl Avx512 {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        let avx2 = avx2::Avx2::detect()?;
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni"))
        .then_some(Self { avx2, amx: None })
    }

    /// The level that multiplies many tokens by tiles.
    pub(crate) fn with_tiles(self) -> Option<Self> {
        Amx::detect().map(|amx| Self { amx: Some(amx), ..self })
    }

    /// The proof that this is that level.
    pub(crate) fn amx(self) -> Option<Amx> {
        self.amx
    }

    /// The level within.
    pub(crate) fn avx2(self) -> avx2::Avx2 {
        self.avx2
    }

    /// Runs plain code compiled with these features.
    #[inline(always)]
    pub(crate) fn run<R>(self, body: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
        fn with_features<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        // SAFETY: the token proves that the features were detected.
        unsafe { with_features(body) }
    }
}

/// Vectors half as wide, of which Intel's processors do three at a time: with some types a token alone is faster.
impl avx2::Level for Avx512 {
    const DOTS: Option<Encoding> = Some(Encoding::Evex);
}

/// Thirty-two bytes.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn load_32(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: thirty-two bytes can be read from the array, at any alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Sixteen floats.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn load_floats(floats: &[f32; 16]) -> __m512 {
    // SAFETY: sixteen floats can be read from the array, at any alignment.
    unsafe { _mm512_loadu_ps(floats.as_ptr()) }
}

/// Sixteen floats, to memory.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn store_floats(floats: &mut [f32; 16], x: __m512) {
    // SAFETY: sixteen floats can be written to the array, at any alignment.
    unsafe { _mm512_storeu_ps(floats.as_mut_ptr(), x) }
}

/// The numbers of a vector.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn floats_of(x: __m512) -> [f32; 16] {
    let mut floats = [0.0; 16];
    store_floats(&mut floats, x);
    floats
}

/// Adds products of eight floats of two rows with the same eight to their sums.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn add_products(sums: &mut [f32; 16], w: &[f32; 16], x: &[f32; 8]) {
    let x = _mm512_broadcast_f32x8(avx2::load_floats(x));
    store_floats(sums, _mm512_fmadd_ps(load_floats(w), x, load_floats(sums)));
}

/// Sixteen integers.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn load_ints(ints: &[i32; 16]) -> __m512i {
    // SAFETY: sixteen integers can be read from the array, at any alignment.
    unsafe { _mm512_loadu_si512(ints.as_ptr().cast()) }
}

/// Sixty-four bytes.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn load_64(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: sixty-four bytes can be read from the array, at any alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Thirty-two bytes, to memory.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn store_32(bytes: &mut [u8; 32], x: __m256i) {
    // SAFETY: thirty-two bytes can be written to the array, at any alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), x) }
}

/// Sixty-four bytes, to memory.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn store_64(bytes: &mut [u8; 64], x: __m512i) {
    // SAFETY: sixty-four bytes can be written to the array, at any alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), x) }
}

/// Sixteen integers, to memory.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn store_ints(ints: &mut [i32; 16], x: __m512i) {
    // SAFETY: sixteen integers can be written to the array, at any alignment.
    unsafe { _mm512_storeu_si512(ints.as_mut_ptr().cast(), x) }
}

/// Adds to each lane of `sum` the products of its two numbers of 16 bits.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn add_products_of_16(mut sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // Not the intrinsic: of a chain of these the compiler makes multiplications and additions apart, twice as many, to
    // shorten a wait that other sums fill.
    // SAFETY: the instruction is in avx512vnni, which is enabled here, and touches registers only.
    unsafe {
        core::arch::asm!("vpdpwssd {0}, {1}, {2}", inout(zmm_reg) sum, in(zmm_reg) a, in(zmm_reg) b, options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// Signed bytes with 128 added: the sign's bit flipped.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn unsigned(signed: [__m512i; 8]) -> [__m512i; 8] {
    signed.map(|bytes| _mm512_xor_si512(bytes, _mm512_set1_epi8(-128)))
}

/// Four bytes, repeated.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn broadcast_4(bytes: &[i8; 4]) -> __m512i {
    _mm512_set1_epi32(i32::from_le_bytes(bytes.map(|byte| byte as u8)))
}

/// Sixteen halves as floats.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn halves(halves: [F16; 16]) -> __m512 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = halves.map(|half| i16::from_le_bytes(half.0));
    _mm512_cvtph_ps(_mm256_set_epi16(p, o, n, m, l, k, j, i, h, g, f, e, d, c, b, a))
}

/// The last four bytes of sixteen blocks, a block a lane.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn tails<B: Block>(blocks: [&B; 16]) -> __m512i {
    let bytes = blocks.map(|block| bytemuck::bytes_of(block).last_chunk().expect("sixteen bytes and more"));
    transpose(bytes)[3]
}

/// The halves in the lower parts of sixteen lanes, as floats.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn low_halves(lanes: __m512i) -> __m512 {
    _mm512_cvtph_ps(_mm512_cvtepi32_epi16(lanes))
}

/// The halves in the upper parts of sixteen lanes, as floats.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn high_halves(lanes: __m512i) -> __m512 {
    low_halves(_mm512_srli_epi32::<16>(lanes))
}

/// Sixteen bytes of sixteen rows, turned: vector `j` has bytes `4j … 4j + 3` of row `r` in its 32-bit lane `r`.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn transpose(rows: [&[u8; 16]; 16]) -> [__m512i; 4] {
    transpose_from::<0>(rows)
}

/// The same from byte `FIRST` on, and zeros after the last: for what ends with its block.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn transpose_from<const FIRST: i32>(rows: [&[u8; 16]; 16]) -> [__m512i; 4] {
    // Every fourth row side by side: what follows works in quarters of 128 bits.
    lanes_turned([0, 1, 2, 3].map(|first| _mm512_bsrli_epi128::<FIRST>(quarters(rows, first))))
}

/// Four vectors, whose first lanes of each quarter become the first vector's quarters, the second ones the second's.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn lanes_turned([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(ab_low, cd_low),
        _mm512_unpackhi_epi64(ab_low, cd_low),
        _mm512_unpacklo_epi64(ab_high, cd_high),
        _mm512_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// What [`transpose`] made of rows, as rows.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn turned_back(vectors: [__m512i; 4]) -> [[u8; 16]; 16] {
    let mut rows = [[0; 16]; 16];
    // Every fourth row is a quarter of the same vector.
    for (first, four) in lanes_turned(vectors).into_iter().enumerate() {
        let mut quarters = [0; 64];
        store_64(&mut quarters, four);
        for (quarter, row) in quarters.as_chunks().0.iter().zip(rows[first..].iter_mut().step_by(4)) {
            *row = *quarter;
        }
    }
    rows
}

/// Rows `first`, `first + 4`, `first + 8` and `first + 12`.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn quarters(rows: [&[u8; 16]; 16], first: usize) -> __m512i {
    let x = _mm512_castsi128_si512(load_16(rows[first]));
    let x = _mm512_inserti32x4::<1>(x, load_16(rows[first + 4]));
    let x = _mm512_inserti32x4::<2>(x, load_16(rows[first + 8]));
    _mm512_inserti32x4::<3>(x, load_16(rows[first + 12]))
}

/// The nibbles of sixteen bytes: the low ones of all, then the high ones.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn nibbles(bytes: [__m512i; 4]) -> [__m512i; 8] {
    let [a, b, c, d] = bytes;
    let low = _mm512_set1_epi8(15);
    [
        _mm512_and_si512(a, low),
        _mm512_and_si512(b, low),
        _mm512_and_si512(c, low),
        _mm512_and_si512(d, low),
        _mm512_and_si512(_mm512_srli_epi16::<4>(a), low),
        _mm512_and_si512(_mm512_srli_epi16::<4>(b), low),
        _mm512_and_si512(_mm512_srli_epi16::<4>(c), low),
        _mm512_and_si512(_mm512_srli_epi16::<4>(d), low),
    ]
}

/// Adds a fifth bit to each of 32 nibbles a row: bit `i` of a row's lane of `high` belongs to nibble `i`.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn add_fifth_bits(nibbles: [__m512i; 8], high: __m512i) -> [__m512i; 8] {
    let [a, b, c, d, e, f, g, h] = nibbles;
    [
        add_bits::<0>(a, high),
        add_bits::<1>(b, high),
        add_bits::<2>(c, high),
        add_bits::<3>(d, high),
        add_bits::<4>(e, high),
        add_bits::<5>(f, high),
        add_bits::<6>(g, high),
        add_bits::<7>(h, high),
    ]
}

/// Adds bits `4J … 4J + 3` as the fifth of four nibbles a row.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn add_bits<const J: i32>(nibbles: __m512i, high: __m512i) -> __m512i {
    // The byte that has them, four times, each tested by its bit.
    let bits = _mm512_set1_epi32(if J % 2 == 0 { 0x0804_0201 } else { 0x8040_2010_u32 as i32 });
    let byte = J / 2 * 0x0101_0101;
    let here = _mm512_set4_epi32(byte + 0x0c0c_0c0c, byte + 0x0808_0808, byte + 0x0404_0404, byte);
    let set = _mm512_test_epi8_mask(_mm512_shuffle_epi8(high, here), bits);
    _mm512_mask_add_epi8(nibbles, set, nibbles, _mm512_set1_epi8(16))
}

/// What nibbles stand for.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) fn levels(nibbles: [__m512i; 8], levels: &[i8; 16]) -> [__m512i; 8] {
    let levels = _mm512_broadcast_i32x4(load_16(bytemuck::cast_ref(levels)));
    nibbles.map(|nibbles| _mm512_shuffle_epi8(levels, nibbles))
}
