//! IQ4_NL: nibbles that stand for sixteen levels in −127…113. Byte i holds weights i and i + 16.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::Iq4Nl;

weights!(Iq4Nl, Int8Per32, multiply(per_32) and avx512);
