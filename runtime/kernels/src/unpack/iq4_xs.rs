//! IQ4_XS: 256 weights of sixteen levels in −127…113, a signed scale for every 32. The layout is in `blocks`; all levels take
//! a block apart as the scalar does, compiled with their features.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, Weights};
use crate::activations::{Activations, Packing};
use crate::isa::{Isa, dispatch};
use blocks::Iq4Xs;
use std::ops::Range;

impl Weights for Iq4Xs {
    const PACKING: Packing = Packing::Int8Per256;

    fn multiply(
        isa: Isa,
        panel: Panel<'_, Self>,
        x: &Activations,
        tokens: Range<usize>,
        results: &mut Results,
    ) {
        dispatch!(isa, multiply(panel, x.per_256(tokens), results));
    }
}
