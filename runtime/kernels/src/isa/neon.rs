//! NEON: the level of ARMv8.0, which every 64-bit Arm has. The loads take arrays, so that their bounds are checked by
//! type; with them, kernels are safe.

use blocks::F16;
use core::arch::aarch64::*;

/// The proof that this processor has NEON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

/// Sixteen bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_16(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: sixteen bytes can be read from the array, at any alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// Sixteen signed bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_signed(bytes: &[i8; 16]) -> int8x16_t {
    // SAFETY: sixteen bytes can be read from the array, at any alignment.
    unsafe { vld1q_s8(bytes.as_ptr()) }
}

/// Eight signed numbers of 16 bits.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_shorts(shorts: &[i16; 8]) -> int16x8_t {
    // SAFETY: eight numbers can be read from the array, at any alignment.
    unsafe { vld1q_s16(shorts.as_ptr()) }
}

/// Four floats.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_floats(floats: &[f32; 4]) -> float32x4_t {
    // SAFETY: four floats can be read from the array, at any alignment.
    unsafe { vld1q_f32(floats.as_ptr()) }
}

/// Four floats, to memory.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn store_floats(floats: &mut [f32; 4], x: float32x4_t) {
    // SAFETY: four floats can be written to the array, at any alignment.
    unsafe { vst1q_f32(floats.as_mut_ptr(), x) }
}

/// The numbers of two vectors.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn floats_of(x: [float32x4_t; 2]) -> [f32; 8] {
    let mut floats = [0.0; 8];
    for (floats, x) in floats.as_chunks_mut().0.iter_mut().zip(x) {
        store_floats(floats, x);
    }
    floats
}

/// Adds products of eight floats to their sums.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn add_products(sums: &mut [f32; 8], w: &[f32; 8], x: &[f32; 8]) {
    for ((sums, w), x) in sums.as_chunks_mut().0.iter_mut().zip(w.as_chunks().0).zip(x.as_chunks().0) {
        store_floats(sums, vfmaq_f32(load_floats(sums), load_floats(w), load_floats(x)));
    }
}

/// What four times eight lanes come to, by the tree of [`crate::lanes::join`].
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn join([a, b, c, d]: [[f32; 8]; 4]) -> [f32; 4] {
    let (ab, cd) = (join_two(a, b), join_two(c, d));
    let mut sums = [0.0; 4];
    store_floats(&mut sums, vpaddq_f32(ab, cd));
    sums
}

/// Two numbers of each that are still to be added.
#[inline]
#[target_feature(enable = "neon")]
fn join_two(a: [f32; 8], b: [f32; 8]) -> float32x4_t {
    let four = |lanes: &[f32; 8]| {
        let (low, high) = lanes.split_at(4);
        vaddq_f32(
            load_floats(low.first_chunk().expect("four")),
            load_floats(high.first_chunk().expect("four")),
        )
    };
    let (a, b) = (four(&a), four(&b));
    vaddq_f32(
        vcombine_f32(vget_low_f32(a), vget_low_f32(b)),
        vcombine_f32(vget_high_f32(a), vget_high_f32(b)),
    )
}

/// Four bytes, repeated.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn broadcast_4(bytes: &[i8; 4]) -> int8x16_t {
    vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(bytes.map(|byte| byte as u8))))
}

/// Four halves as floats.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn halves(halves: [F16; 4]) -> float32x4_t {
    vcvt_f32_f16(vreinterpret_f16_u16(vcreate_u16(u64::from_le_bytes(bytemuck::cast(halves)))))
}

/// Four floats as the nearest halves.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn four_halves(floats: float32x4_t) -> [F16; 4] {
    bytemuck::cast(vget_lane_u64::<0>(vreinterpret_u64_f16(vcvt_f16_f32(floats))).to_le_bytes())
}

/// Sixteen bytes of four rows, turned: vector `j` has bytes `4j … 4j + 3` of row `r` in its 32-bit lane `r`.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn transpose(rows: [&[u8; 16]; 4]) -> [uint8x16_t; 4] {
    let [a, b, c, d] = rows;
    let [a, b] = [vreinterpretq_u32_u8(load_16(a)), vreinterpretq_u32_u8(load_16(b))];
    let [c, d] = [vreinterpretq_u32_u8(load_16(c)), vreinterpretq_u32_u8(load_16(d))];
    let (ab_even, ab_odd) =
        (vreinterpretq_u64_u32(vtrn1q_u32(a, b)), vreinterpretq_u64_u32(vtrn2q_u32(a, b)));
    let (cd_even, cd_odd) =
        (vreinterpretq_u64_u32(vtrn1q_u32(c, d)), vreinterpretq_u64_u32(vtrn2q_u32(c, d)));
    [
        vreinterpretq_u8_u64(vtrn1q_u64(ab_even, cd_even)),
        vreinterpretq_u8_u64(vtrn1q_u64(ab_odd, cd_odd)),
        vreinterpretq_u8_u64(vtrn2q_u64(ab_even, cd_even)),
        vreinterpretq_u8_u64(vtrn2q_u64(ab_odd, cd_odd)),
    ]
}

/// The nibbles of sixteen bytes: the low ones of all, then the high ones.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn nibbles(bytes: [uint8x16_t; 4]) -> [uint8x16_t; 8] {
    let [a, b, c, d] = bytes;
    let low = vdupq_n_u8(15);
    [
        vandq_u8(a, low),
        vandq_u8(b, low),
        vandq_u8(c, low),
        vandq_u8(d, low),
        vshrq_n_u8::<4>(a),
        vshrq_n_u8::<4>(b),
        vshrq_n_u8::<4>(c),
        vshrq_n_u8::<4>(d),
    ]
}

/// Adds a fifth bit to each of 32 nibbles a row: bit `i` of a row's number belongs to nibble `i`.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn add_fifth_bits(mut nibbles: [uint8x16_t; 8], high: [[u8; 4]; 4]) -> [uint8x16_t; 8] {
    let high = load_16(&bytemuck::cast(high));
    // Vector j wants bits 4j … 4j + 3, one a byte: the byte that has them, four times, each masked by its bit.
    let masks = [0x0804_0201, 0x8040_2010].map(|bits| vreinterpretq_u8_u32(vdupq_n_u32(bits)));
    let rows: [u8; 16] = [0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12];
    for (j, nibbles) in nibbles.iter_mut().enumerate() {
        let here = vaddq_u8(load_16(&rows), vdupq_n_u8(j as u8 / 2));
        let set = vtstq_u8(vqtbl1q_u8(high, here), masks[j % 2]);
        *nibbles = vorrq_u8(*nibbles, vandq_u8(set, vdupq_n_u8(16)));
    }
    nibbles
}

/// Unsigned bytes less an offset, signed.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn signed<const N: usize>(bytes: [uint8x16_t; N], offset: i8) -> [int8x16_t; N] {
    bytes.map(|bytes| vsubq_s8(vreinterpretq_s8_u8(bytes), vdupq_n_s8(offset)))
}

/// What nibbles stand for.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn levels(nibbles: [uint8x16_t; 8], levels: &[i8; 16]) -> [int8x16_t; 8] {
    let levels = load_16(bytemuck::cast_ref(levels));
    nibbles.map(|nibbles| vreinterpretq_s8_u8(vqtbl1q_u8(levels, nibbles)))
}
