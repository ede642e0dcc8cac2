//! IQ4_XS: 256 weights of sixteen levels in −127…113, a signed scale for every 32. The layout is in `blocks`; all levels take
//! a block apart as the scalar does, compiled with their features.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Iq4Xs;

weights!(Iq4Xs, Int8Per256, multiply(per_256) and avx512);
