//! See the parent.

use blocks::F16;

pub(super) fn to_f32(halves: &[F16], out: &mut [f32]) {
    for (out, half) in out.iter_mut().zip(halves) {
        *out = half.to_f32();
    }
}
