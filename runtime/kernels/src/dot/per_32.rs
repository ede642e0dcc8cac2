//! A float scale per 32 weights, and perhaps a minimum.
//!
//! `I = Σ q·a` exactly; then for each block in order `acc = fma(f32(I), d_w · d_a, acc)`, and for a type with a minimum
//! `acc = fma(m_w, f32(Σa) · d_a, acc)` after it.

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
