//! Half-precision floats to single and back, many at a time. The one is exact and the other rounds to nearest even
//! everywhere, so each level may use its own instruction.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
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
    dispatch!(isa, to_f32(halves, out) and avx512);
}

/// Writes the halves nearest to `floats` to `out`, ties to even; beyond 65504 infinite.
///
/// # Panics
/// If they differ in length.
#[inline]
pub(crate) fn from_f32(isa: Isa, floats: &[f32], out: &mut [F16]) {
    assert_eq!(floats.len(), out.len());
    dispatch!(isa, from_f32(floats, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_and_what_lies_between_at_every_level() {
        let all: Vec<F16> = (0..=u16::MAX).map(|bits| F16(bits.to_le_bytes())).collect();
        let exact: Vec<f32> = all.iter().map(|half| half.to_f32()).collect();
        // Between two neighbours: nearer to the one, the very middle, nearer to the other.
        let between = exact.windows(2).flat_map(|pair| {
            let middle = f64::from(pair[0]).midpoint(f64::from(pair[1])) as f32;
            [middle.next_down(), middle, middle.next_up()]
        });
        let floats: Vec<f32> = exact.iter().copied().chain(between).filter(|x| !x.is_nan()).collect();
        let rounded: Vec<F16> = floats.iter().map(|&x| F16::from_f32(x)).collect();
        for isa in Isa::available() {
            let mut out = vec![0.0; all.len()];
            to_f32(isa, &all, &mut out);
            for (out, exact) in out.iter().zip(&exact) {
                assert!(out.to_bits() == exact.to_bits() || out.is_nan() && exact.is_nan(), "{isa}: {exact}");
            }
            let mut out = vec![F16([0; 2]); floats.len()];
            from_f32(isa, &floats, &mut out);
            for ((out, rounded), x) in out.iter().zip(&rounded).zip(&floats) {
                assert_eq!(out, rounded, "{isa}: {x}");
            }
        }
    }
}
