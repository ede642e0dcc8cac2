//! Q5_K: 256 weights of 5 bits, scales and minimums as Q4_K has them. The layout is in `blocks`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, Weights};
use crate::activations::{Activations, Packing};
use crate::isa::{Isa, dispatch};
use blocks::Q5K;
use std::ops::Range;

impl Weights for Q5K {
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
