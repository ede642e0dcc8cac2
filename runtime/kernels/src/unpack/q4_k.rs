//! Q4_K: 256 weights of 4 bits, a scale and a minimum for every 32. The layout is in `blocks`.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
mod scalar;

use super::{Panel, Results, Weights};
use crate::activations::{Activations, Packing};
use crate::isa::{Isa, dispatch};
use blocks::Q4K;
use std::ops::Range;

impl Weights for Q4K {
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
