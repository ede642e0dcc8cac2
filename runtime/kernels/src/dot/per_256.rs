//! A float scale per 256 weights, over an integer scale per 16.
//!
//! `A = Σ_s scale_s · Σ q·a` exactly, in 32 bits (at most 256 · 32 · 128 · 127 = 1.33 · 10⁸); then for each block in
//! order `t = f32(A) · d` and `acc = fma(t, d_a, acc)`.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod scalar;
