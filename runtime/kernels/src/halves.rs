//! Half-precision floats to single, many at a time. Exact, so each level may use its own instruction.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use crate::isa::{Isa, dispatch};
use blocks::F16;

/// Writes the values of `halves` to `out`.
///
/// # Panics
/// If they differ in length.
#[inline]
pub(crate) fn to_f32(isa: Isa, halves: &[F16], out: &mut [f32]) {
    assert_eq!(halves.len(), out.len());
    dispatch!(isa, to_f32(halves, out));
}
