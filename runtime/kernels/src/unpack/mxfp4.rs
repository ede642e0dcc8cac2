//! MXFP4: nibbles that are floats, doubled to integers −12…12. Byte i holds weights i and i + 16.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Mxfp4;

weights!(Mxfp4, Int8Per32, multiply(per_32) and avx512);
