//! Products of matrices of bytes, since ARMv8.2 an option: an instruction does twice what a dot product does.

use super::dotprod::DotProd;
use core::arch::aarch64::*;
use core::arch::asm;

/// The proof that this processor has products of matrices of bytes, over dot products and NEON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct I8mm(DotProd);

impl I8mm {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        let dotprod = DotProd::detect()?;
        std::arch::is_aarch64_feature_detected!("i8mm").then_some(Self(dotprod))
    }

    /// The level that this one contains.
    pub(crate) fn dotprod(self) -> DotProd {
        self.0
    }
}

/// Adds the products of two rows of eight bytes with two tokens': those of the first row with both, then those of the
/// second. The intrinsic, `vmmlaq_s32`, is not stable yet.
#[inline]
#[target_feature(enable = "neon,i8mm")]
pub(crate) fn products(mut sums: int32x4_t, rows: int8x16_t, tokens: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction reads and writes the registers named and nothing else; this function's features have it.
    unsafe {
        asm!(
            "smmla {sums:v}.4s, {rows:v}.16b, {tokens:v}.16b",
            sums = inout(vreg) sums, rows = in(vreg) rows, tokens = in(vreg) tokens,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// Four columns of four rows and the next four, as eight columns of the first two rows and of the others.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn rows_of_eight([first, next]: [int8x16_t; 2]) -> [int8x16_t; 2] {
    let (first, next) = (vreinterpretq_s32_s8(first), vreinterpretq_s32_s8(next));
    [vreinterpretq_s8_s32(vzip1q_s32(first, next)), vreinterpretq_s8_s32(vzip2q_s32(first, next))]
}

/// Sixteen columns of two tokens, as eight columns of both and the next eight.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn tokens_of_eight([first, second]: [int8x16_t; 2]) -> [int8x16_t; 2] {
    let (first, second) = (vreinterpretq_s64_s8(first), vreinterpretq_s64_s8(second));
    [vreinterpretq_s8_s64(vtrn1q_s64(first, second)), vreinterpretq_s8_s64(vtrn2q_s64(first, second))]
}

/// Sums of the first two rows and of the others with two tokens, as those of each token: a row a lane.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn by_token([first, others]: [int32x4_t; 2]) -> [int32x4_t; 2] {
    [vuzp1q_s32(first, others), vuzp2q_s32(first, others)]
}
