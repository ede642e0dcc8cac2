//! Q3_K: 256 weights of 3 bits with an offset of 4, a signed scale for every 16. The layout is in `blocks`; all levels take
//! a block apart as the scalar does, compiled with their features.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Q3K;

weights!(Q3K, Int8Per256, multiply(per_256) and avx512);
