//! TQ1_0: 256 weights of −1, 0 and 1, five to a byte. The layout is in `blocks`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Tq1_0;

weights!(Tq1_0, Int8Per256, multiply(per_256));
