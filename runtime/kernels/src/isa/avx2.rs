//! AVX2, FMA and F16C. The loads take arrays, so that their bounds are checked by type; with them, kernels are safe.

mod chains;
mod pairs;

pub(crate) use chains::{add_bf16, add_f16, add_f32};
pub(crate) use pairs::add_pairs;

use super::avx_vnni::{Dots, Encoding};
use blocks::{Block, F16};
use core::arch::x86_64::*;

/// The proof that this processor has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c"))
        .then_some(Self(()))
    }

    /// Runs plain code compiled with these features.
    #[inline(always)]
    pub(crate) fn run<R>(self, body: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn with_features<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        // SAFETY: the token proves that the features were detected.
        unsafe { with_features(body) }
    }
}

/// A level with AVX2's vectors.
pub(crate) trait Level: Copy {
    /// How its dot products of bytes are encoded, if it has them.
    const DOTS: Option<Encoding>;

    /// The proof that it has.
    #[inline(always)]
    fn dots(self) -> Option<Dots<Self>> {
        Dots::of(self)
    }
}

impl Level for Avx2 {
    const DOTS: Option<Encoding> = None;
}

/// Sixteen bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn load_16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: sixteen bytes can be read from the array, at any alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Sixteen bytes, to memory.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn store_16(bytes: &mut [u8; 16], x: __m128i) {
    // SAFETY: sixteen bytes can be written to the array, at any alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), x) }
}

/// Thirty-two bytes, to memory.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn store_32(bytes: &mut [u8; 32], x: __m256i) {
    // SAFETY: thirty-two bytes can be written to the array, at any alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), x) }
}

/// Eight floats.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn load_floats(floats: &[f32; 8]) -> __m256 {
    // SAFETY: eight floats can be read from the array, at any alignment.
    unsafe { _mm256_loadu_ps(floats.as_ptr()) }
}

/// Eight floats, to memory.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn store_floats(floats: &mut [f32; 8], x: __m256) {
    // SAFETY: eight floats can be written to the array, at any alignment.
    unsafe { _mm256_storeu_ps(floats.as_mut_ptr(), x) }
}

/// Thirty-two bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn load_32(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: thirty-two bytes can be read from the array, at any alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// The numbers of a vector.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn floats_of(x: __m256) -> [f32; 8] {
    let mut floats = [0.0; 8];
    store_floats(&mut floats, x);
    floats
}

/// Adds products of eight floats to their sums.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn add_products(sums: &mut [f32; 8], w: &[f32; 8], x: &[f32; 8]) {
    store_floats(sums, _mm256_fmadd_ps(load_floats(w), load_floats(x), load_floats(sums)));
}

/// What the lanes of four vectors come to, by the tree of [`crate::lanes::join`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn join([a, b, c, d]: [[f32; 8]; 4]) -> [f32; 4] {
    let (a, b, c, d) = (load_floats(&a), load_floats(&b), load_floats(&c), load_floats(&d));
    let both =
        |a, c| _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, c), _mm256_permute2f128_ps::<0x31>(a, c));
    let (ac, bd) = (both(a, c), both(b, d));
    let twos = _mm256_add_ps(_mm256_shuffle_ps::<0x44>(ac, bd), _mm256_shuffle_ps::<0xee>(ac, bd));
    let (ab, cd) = (_mm256_castps256_ps128(twos), _mm256_extractf128_ps::<1>(twos));
    let sums = _mm_add_ps(_mm_shuffle_ps::<0x88>(ab, cd), _mm_shuffle_ps::<0xdd>(ab, cd));
    bytemuck::cast(_mm_castps_si128(sums))
}

/// Four bytes, repeated.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn broadcast_4(bytes: &[i8; 4]) -> __m256i {
    _mm256_set1_epi32(i32::from_le_bytes(bytes.map(|byte| byte as u8)))
}

/// Two numbers of 16 bits, repeated.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn broadcast_2(pair: &[i16; 2]) -> __m256i {
    _mm256_set1_epi32(bytemuck::cast(*pair))
}

/// The same number, of which the compiler knows no more: what it is a sum of is added in the order that is written. Left to itself
/// the compiler turns a tile's sums into trees and takes one after the other, as if registers were many; what
/// it then puts aside and fetches again took more than the products (Q4_0 on Zen 3: 0.42 of the peak for 0.69).
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn settled(mut x: __m256i) -> __m256i {
    // SAFETY: no instruction at all, only a comment that names the register.
    unsafe { core::arch::asm!("/* {0} */", inout(ymm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}

/// The first sixteen bits of eight blocks, and the sixteen after them.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn heads<B: Block>(blocks: [&B; 8]) -> [__m128i; 2] {
    let [a, b, c, d, e, f, g, h] = sixteen(blocks).map(|bytes| load_16(bytes));
    let (ab, cd) = (_mm_unpacklo_epi16(a, b), _mm_unpacklo_epi16(c, d));
    let (ef, gh) = (_mm_unpacklo_epi16(e, f), _mm_unpacklo_epi16(g, h));
    let (a_d, e_h) = (_mm_unpacklo_epi32(ab, cd), _mm_unpacklo_epi32(ef, gh));
    [_mm_unpacklo_epi64(a_d, e_h), _mm_unpackhi_epi64(a_d, e_h)]
}

/// The first sixteen bytes of eight blocks.
#[inline(always)]
pub(crate) fn sixteen<B: Block>(blocks: [&B; 8]) -> [&[u8; 16]; 8] {
    blocks.map(|block| bytemuck::bytes_of(block).first_chunk().expect("sixteen bytes and more"))
}

/// Eight halves as floats.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn halves(halves: [F16; 8]) -> __m256 {
    let [a, b, c, d, e, f, g, h] = halves.map(|half| i16::from_le_bytes(half.0));
    _mm256_cvtph_ps(_mm_set_epi16(h, g, f, e, d, c, b, a))
}

/// Eight numbers of 32 bits.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn ints(bytes: [[u8; 4]; 8]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = bytes.map(i32::from_le_bytes);
    _mm256_set_epi32(h, g, f, e, d, c, b, a)
}

/// The halves in the lower parts of eight lanes, as floats.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn low_halves(lanes: __m256i) -> __m256 {
    let low = _mm256_and_si256(lanes, _mm256_set1_epi32(0xffff));
    let packed = _mm256_packus_epi32(low, low);
    _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64::<0x08>(packed)))
}

/// Likewise of the upper parts.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn high_halves(lanes: __m256i) -> __m256 {
    low_halves(_mm256_srli_epi32::<16>(lanes))
}

/// Sixteen bytes and sixteen more. By an insertion, which wants no second register; by a blend, as [`transpose_from`] has it, was as fast.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn side_by_side(low: &[u8; 16], high: &[u8; 16]) -> __m256i {
    _mm256_set_m128i(load_16(high), load_16(low))
}

/// Sixteen bytes of eight rows, turned: vector `j` has bytes `4j … 4j + 3` of row `r` in its 32-bit lane `r`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn transpose(rows: [&[u8; 16]; 8]) -> [__m256i; 4] {
    transpose_from::<0>(rows)
}

/// The same from byte `FIRST` on, and zeros after the last: for what ends with its block.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn transpose_from<const FIRST: i32>(rows: [&[u8; 16]; 8]) -> [__m256i; 4] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    // Rows r and r + 4 side by side: what follows works in halves of 128 bits.
    let [a, b, c, d] = [[r4, r0], [r5, r1], [r6, r2], [r7, r3]].map(|[high, low]| {
        // Settled, or it becomes an insertion, of which a Zen 3 does one a cycle.
        let high = settled(_mm256_broadcastsi128_si256(load_16(high)));
        let low = _mm256_castsi128_si256(load_16(low));
        _mm256_bsrli_epi128::<FIRST>(_mm256_blend_epi32::<0xf0>(low, high))
    });
    let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab_low, cd_low),
        _mm256_unpackhi_epi64(ab_low, cd_low),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// The nibbles of sixteen bytes: the low ones of all, then the high ones.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn nibbles(bytes: [__m256i; 4]) -> [__m256i; 8] {
    let [a, b, c, d] = bytes;
    let low = _mm256_set1_epi8(15);
    [
        _mm256_and_si256(a, low),
        _mm256_and_si256(b, low),
        _mm256_and_si256(c, low),
        _mm256_and_si256(d, low),
        _mm256_and_si256(_mm256_srli_epi16::<4>(a), low),
        _mm256_and_si256(_mm256_srli_epi16::<4>(b), low),
        _mm256_and_si256(_mm256_srli_epi16::<4>(c), low),
        _mm256_and_si256(_mm256_srli_epi16::<4>(d), low),
    ]
}

/// Adds a fifth bit to each of 32 nibbles a row: bit `i` of a row's lane belongs to nibble `i`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn add_fifth_bits(nibbles: [__m256i; 8], high: __m256i) -> [__m256i; 8] {
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
#[target_feature(enable = "avx2,fma,f16c")]
fn add_bits<const J: i32>(nibbles: __m256i, high: __m256i) -> __m256i {
    // The byte that has them, four times, each tested by its bit.
    let bits = _mm256_set1_epi32(if J % 2 == 0 { 0x0804_0201 } else { 0x8040_2010_u32 as i32 });
    let byte = J / 2 * 0x0101_0101;
    let four = _mm_set_epi32(byte + 0x0c0c_0c0c, byte + 0x0808_0808, byte + 0x0404_0404, byte);
    let here = _mm256_broadcastsi128_si256(four);
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(high, here), bits), bits);
    _mm256_or_si256(nibbles, _mm256_and_si256(set, _mm256_set1_epi8(16)))
}

/// The nibbles of sixteen bytes of two rows: the low ones of both, then the high ones.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn nibble_pair([a, b]: [&[u8; 16]; 2]) -> [__m256i; 2] {
    let (both, low) = (side_by_side(a, b), _mm256_set1_epi8(15));
    [_mm256_and_si256(both, low), _mm256_and_si256(_mm256_srli_epi16::<4>(both), low)]
}

/// What nibbles stand for.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn levels<const N: usize>(nibbles: [__m256i; N], levels: &[i8; 16]) -> [__m256i; N] {
    let levels = _mm256_broadcastsi128_si256(load_16(bytemuck::cast_ref(levels)));
    nibbles.map(|nibbles| _mm256_shuffle_epi8(levels, nibbles))
}

/// What makes two bytes of each lane the upper ones of two numbers of 16 bits.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn upper([first, second]: [i8; 2]) -> __m256i {
    let lane = |at: i8| i32::from_le_bytes([-128, first + at, -128, second + at].map(|at| at as u8));
    _mm256_broadcastsi128_si256(_mm_set_epi32(lane(12), lane(8), lane(4), lane(0)))
}

/// What makes two bytes of each lane the lower ones of two numbers of 16 bits, and zeros the upper.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn lower([first, second]: [i8; 2]) -> __m256i {
    let lane = |at: i8| i32::from_le_bytes([first + at, -128, second + at, -128].map(|at| at as u8));
    _mm256_broadcastsi128_si256(_mm_set_epi32(lane(12), lane(8), lane(4), lane(0)))
}
