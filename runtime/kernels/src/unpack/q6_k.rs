//! Q6_K: 256 weights of 6 bits with an offset of 32, a signed scale for every 16. The layout is in `blocks`.

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
use blocks::Q6K;
use std::ops::Range;

impl Weights for Q6K {
    const PACKING: Packing = Packing::Int8Per256;

    fn multiply(
        isa: Isa,
        panel: Panel<'_, Self>,
        x: &Activations,
        tokens: Range<usize>,
        results: &mut Results,
    ) {
        dispatch!(isa, multiply(panel, x.per_256(tokens), results) and avx512);
    }
}
