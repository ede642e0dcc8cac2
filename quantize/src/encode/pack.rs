//! Where the bits of the 32-weight formats go. `runtime/blocks` states the layouts.

use super::exactly;

/// The low four bits: weights `i` and `i + 16` in byte `i`.
#[inline(always)]
pub(super) fn nibbles(q: &[u8]) -> [u8; 16] {
    let q = exactly::<32, u8>(q);
    std::array::from_fn(|i| (q[i] & 15) | q[i + 16] << 4)
}

/// The fifth bits: weight `i`'s is bit `i` of a little-endian number.
#[inline(always)]
pub(super) fn fifth_bits(q: &[u8]) -> [u8; 4] {
    let q = exactly::<32, u8>(q);
    // Eight bytes at a time: the product brings the low bit of byte k to bit 56 + k, and no two partial products
    // meet in a bit.
    std::array::from_fn(|i| {
        let eight: [u8; 8] = std::array::from_fn(|k| q[8 * i + k] >> 4 & 1);
        (u64::from_le_bytes(eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
    })
}
