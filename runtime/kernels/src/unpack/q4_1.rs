//! Q4_1: unsigned nibbles with a minimum. Byte i holds weights i and i + 16.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Q4_1;

weights!(Q4_1, Int8Per32, multiply(per_32) and avx512);
