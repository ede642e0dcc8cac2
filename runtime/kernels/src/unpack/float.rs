//! F32, F16 and BF16: floats as they are.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, Weights};
use crate::activations::{Activations, Packing};
use crate::isa::{Isa, dispatch};
use blocks::{Bf16, F16, F32};
use std::ops::Range;

impl Weights for F32 {
    const PACKING: Packing = Packing::F32;

    fn multiply(
        isa: Isa,
        panel: Panel<'_, Self>,
        x: &Activations,
        tokens: Range<usize>,
        results: &mut Results,
    ) {
        dispatch!(isa, multiply_f32(panel, x.floats(tokens), results) and avx512);
    }
}

impl Weights for F16 {
    const PACKING: Packing = Packing::F32;

    fn multiply(
        isa: Isa,
        panel: Panel<'_, Self>,
        x: &Activations,
        tokens: Range<usize>,
        results: &mut Results,
    ) {
        dispatch!(isa, multiply_f16(panel, x.floats(tokens), results) and avx512);
    }
}

impl Weights for Bf16 {
    const PACKING: Packing = Packing::F32;

    fn multiply(
        isa: Isa,
        panel: Panel<'_, Self>,
        x: &Activations,
        tokens: Range<usize>,
        results: &mut Results,
    ) {
        dispatch!(isa, multiply_bf16(panel, x.floats(tokens), results) and avx512);
    }
}
