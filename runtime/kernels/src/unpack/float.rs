//! F32, F16 and BF16: floats as they are.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::{Panel, Results, weights};
use blocks::{Bf16, F16, F32};

weights!(F32, F32, multiply_f32(floats) and avx512);
weights!(F16, F32, multiply_f16(floats) and avx512);
weights!(Bf16, F32, multiply_bf16(floats) and avx512);
