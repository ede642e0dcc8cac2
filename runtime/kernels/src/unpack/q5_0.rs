//! Q5_0: nibbles as in Q4_0 and a fifth bit for each, with an offset of 16.

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
use blocks::Q5_0;
use std::ops::Range;

impl Weights for Q5_0 {
    const PACKING: Packing = Packing::Int8Per32;

    fn multiply(
        isa: Isa,
        panel: Panel<'_, Self>,
        x: &Activations,
        tokens: Range<usize>,
        results: &mut Results,
    ) {
        dispatch!(isa, multiply(panel, x.per_32(tokens), results) and avx512);
    }
}
