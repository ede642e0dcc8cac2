//! Q4_K: 256 weights of 4 bits, a scale and a minimum for every 32. The layout is in `blocks`.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Q4K;

weights!(Q4K, Int8Per256, multiply(per_256) and avx512);
