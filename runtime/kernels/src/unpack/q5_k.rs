//! Q5_K: 256 weights of 5 bits, scales and minimums as Q4_K has them. The layout is in `blocks`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Q5K;

weights!(Q5K, Int8Per256, multiply(per_256) and avx512);
