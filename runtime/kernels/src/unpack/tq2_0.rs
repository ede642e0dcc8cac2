//! TQ2_0: 256 weights of −1, 0 and 1, four to a byte. The layout is in `blocks`; all levels take
//! a block apart as the scalar does, compiled with their features.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, Weights};
use crate::activations::{Activations, Packing};
use crate::isa::{Isa, dispatch};
use blocks::Tq2_0;
use std::ops::Range;

impl Weights for Tq2_0 {
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
