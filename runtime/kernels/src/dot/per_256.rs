//! A float scale per 256 weights, over an integer scale per 16 or 32, and perhaps minimums likewise.
//!
//! `A = Σ_s scale_s · Σ q·a` and `B = Σ_s min_s · Σa` exactly, in 32 bits (at most 256 · 32 · 128 · 127 = 1.33 · 10⁸);
//! then for each block in order `t = f32(A) · d`, or with minimums `t = fma(f32(A), d, −(f32(B) · dmin))`, and
//! `acc = fma(t, d_a, acc)`. A scale per 32 is unpacked as two equal ones per 16.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
mod dotprod;
#[cfg(target_arch = "aarch64")]
mod i8mm;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod scalar;
