//! Q6_K: 256 weights of 6 bits with an offset of 32, a signed scale for every 16. The layout is in `blocks`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Q6K;

weights!(Q6K, Int8Per256, multiply(per_256) and avx512);
