//! Q5_1: nibbles as in Q4_0 and a fifth bit for each, with a minimum.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Q5_1;

weights!(Q5_1, Int8Per32, multiply(per_32) and avx512);
