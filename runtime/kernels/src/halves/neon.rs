//! See the parent.

use crate::isa::neon::{four_halves, halves as four, load_floats, store_floats};
use blocks::F16;

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn to_f32(_: impl Copy, halves: &[F16], out: &mut [f32]) {
    let ((halves, halves_rest), (out, out_rest)) = (halves.as_chunks::<4>(), out.as_chunks_mut::<4>());
    for (halves, out) in halves.iter().zip(out) {
        store_floats(out, four(*halves));
    }
    super::scalar::to_f32(halves_rest, out_rest);
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn from_f32(_: impl Copy, floats: &[f32], out: &mut [F16]) {
    let ((floats, floats_rest), (out, out_rest)) = (floats.as_chunks::<4>(), out.as_chunks_mut::<4>());
    for (floats, out) in floats.iter().zip(out) {
        *out = four_halves(load_floats(floats));
    }
    super::scalar::from_f32(floats_rest, out_rest);
}
