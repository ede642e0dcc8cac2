//! Q8_0: signed bytes, −128 included.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Q8_0;

weights!(Q8_0, Int8Per32, multiply(per_32) and avx512);
