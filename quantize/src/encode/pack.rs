//! Where the bits go. `runtime/blocks` states the layouts.
//!
//! Loops, not `array::from_fn`: of a long array the compiler makes a function of that, which is not compiled for the processor.

use super::exactly;

/// The low four bits of 32 codes: weights `i` and `i + 16` in byte `i`.
#[inline(always)]
pub(super) fn nibbles(codes: &[u8]) -> [u8; 16] {
    let codes = exactly::<32, u8>(codes);
    let mut out = [0; 16];
    for (i, out) in out.iter_mut().enumerate() {
        *out = codes[i] & 15 | codes[i + 16] << 4;
    }
    out
}

/// The fifth bits of 32 codes: weight `i`'s is bit `i` of a little-endian number.
#[inline(always)]
pub(super) fn fifth_bits(codes: &[u8]) -> [u8; 4] {
    let codes = exactly::<32, u8>(codes);
    // Eight bytes at a time: the product brings the low bit of byte k to bit 56 + k, and no two partial products
    // meet in a bit.
    std::array::from_fn(|i| {
        let eight: [u8; 8] = std::array::from_fn(|k| codes[8 * i + k] >> 4 & 1);
        (u64::from_le_bytes(eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
    })
}

/// The low two bits of 256 codes: weight `128 h + 32 k + i` is at bit `2 k` of byte `32 h + i`.
#[inline(always)]
pub(super) fn two_bits(codes: &[u8]) -> [u8; 64] {
    let codes = exactly::<256, u8>(codes);
    let mut out = [0; 64];
    for (i, out) in out.iter_mut().enumerate() {
        let at = |k: usize| codes[i / 32 * 128 + 32 * k + i % 32] & 3;
        *out = at(0) | at(1) << 2 | at(2) << 4 | at(3) << 6;
    }
    out
}

/// Scales and minimums of eight groups, six bits each, as `Q4_K` and `Q5_K` have them: see [`blocks::scale_and_min`].
#[inline(always)]
pub(super) fn scales_and_mins(scales: &[u8; 8], mins: &[u8; 8]) -> [u8; 12] {
    std::array::from_fn(|i| match i / 4 {
        0 => scales[i] | scales[i + 4] >> 4 << 6,
        1 => mins[i - 4] | mins[i] >> 4 << 6,
        _ => scales[i - 4] & 15 | mins[i - 4] << 4,
    })
}
