//! Q2_K: 256 weights of 2 bits, a scale and a minimum for every 16. The layout is in `blocks`; all levels take
//! a block apart as the scalar does, compiled with their features.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Q2K;

weights!(Q2K, Int8Per256, multiply(per_256) and avx512);
