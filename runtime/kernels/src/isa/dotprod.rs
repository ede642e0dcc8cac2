//! Dot products of bytes, since ARMv8.2 an option: one instruction does what NEON does in four.

use super::neon::Neon;
use core::arch::aarch64::*;
use core::arch::asm;

/// The proof that this processor has NEON and dot products of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DotProd(());

impl DotProd {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        Neon::detect()?;
        std::arch::is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }
}

/// Adds to each of four numbers the products of its four bytes of `w` with four bytes of `a`: the `LANE`th of it, the
/// same for all. The intrinsic, `vdotq_laneq_s32`, is not stable yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) fn dot<const LANE: usize>(mut sum: int32x4_t, w: int8x16_t, a: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction reads and writes the registers named and nothing else; this function's features have it.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {w:v}.16b, {a:v}.4b[{lane}]",
            sum = inout(vreg) sum, w = in(vreg) w, a = in(vreg) a, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}
