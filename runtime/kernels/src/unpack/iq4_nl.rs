//! IQ4_NL: nibbles that stand for sixteen levels in −127…113. Byte i holds weights i and i + 16.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, Weights};
use crate::activations::{Activations, Packing};
use crate::isa::{Isa, dispatch};
use blocks::Iq4Nl;
use std::ops::Range;

impl Weights for Iq4Nl {
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
