//! MXFP4: nibbles that are floats, doubled to integers −12…12. Byte i holds weights i and i + 16.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, Weights};
use crate::activations::{Activations, Packing};
use crate::isa::{Isa, dispatch};
use blocks::Mxfp4;
use std::ops::Range;

impl Weights for Mxfp4 {
    const PACKING: Packing = Packing::Int8Per32;

    fn multiply(
        isa: Isa,
        panel: Panel<'_, Self>,
        x: &Activations,
        tokens: Range<usize>,
        results: &mut Results,
    ) {
        dispatch!(isa, multiply(panel, x.per_32(tokens), results));
    }
}
