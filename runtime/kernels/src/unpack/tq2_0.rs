//! TQ2_0: 256 weights of −1, 0 and 1, four to a byte. The layout is in `blocks`; all levels take
//! a block apart as the scalar does, compiled with their features.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Tq2_0;

weights!(Tq2_0, Int8Per256, multiply(per_256) and avx512);
