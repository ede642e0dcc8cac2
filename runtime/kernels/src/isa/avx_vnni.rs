//! Dot products of bytes in AVX2's vectors: one instruction does what AVX2 does in three. AVX-512 has them too, encoded another way.

use super::avx2::{Avx2, Level};
use core::arch::asm;
use core::arch::x86_64::*;

/// The proof that this processor has AVX-VNNI, and AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvxVnni(Avx2);

impl AvxVnni {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        Avx2::detect().filter(|_| is_x86_feature_detected!("avxvnni")).map(Self)
    }

    /// The level within.
    pub(crate) fn avx2(self) -> Avx2 {
        self.0
    }
}

impl Level for AvxVnni {
    const DOTS: Option<Encoding> = Some(Encoding::Vex);
}

/// How an instruction is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As AVX2's: AVX-VNNI.
    Vex,
    /// As AVX-512's.
    Evex,
}

/// The proof that a level has dot products of bytes.
#[derive(Clone, Copy)]
pub(crate) struct Dots<L>(L);

impl<L: Level> Dots<L> {
    /// Those of a level, if it has them.
    #[inline(always)]
    pub(crate) fn of(level: L) -> Option<Self> {
        L::DOTS.map(|_| Self(level))
    }

    /// Adds to each lane of `sum` the products of its four unsigned bytes of `w` with its four signed bytes of `a`.
    /// Not the intrinsic: it would be a call from kernels that are compiled for all levels.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(crate) fn add_products_of_8(self, mut sum: __m256i, w: __m256i, a: __m256i) -> __m256i {
        // SAFETY: this token proves that the processor has the instruction as it is encoded, which touches registers only.
        unsafe {
            match L::DOTS {
                Some(Encoding::Evex) => {
                    asm!("{{evex}} vpdpbusd {0}, {1}, {2}", inout(ymm_reg) sum, in(ymm_reg) w, in(ymm_reg) a,
                        options(pure, nomem, nostack, preserves_flags));
                }
                _ => {
                    asm!("{{vex}} vpdpbusd {0}, {1}, {2}", inout(ymm_reg) sum, in(ymm_reg) w, in(ymm_reg) a,
                        options(pure, nomem, nostack, preserves_flags));
                }
            }
        }
        sum
    }
}
