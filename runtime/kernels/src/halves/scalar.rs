//! See the parent.

use blocks::F16;

pub(super) fn to_f32(halves: &[F16], out: &mut [f32]) {
    for (out, half) in out.iter_mut().zip(halves) {
        *out = half.to_f32();
    }
}

pub(super) fn from_f32(floats: &[f32], out: &mut [F16]) {
    for (out, &x) in out.iter_mut().zip(floats) {
        *out = F16::from_f32(x);
    }
}
