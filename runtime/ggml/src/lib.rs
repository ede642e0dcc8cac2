//! The reference: a safe face on ggml and llama.cpp.
//!
//! Two things are asked of it. As an *oracle* it quantizes and decodes rows with ggml's own reference code
//! (`reference_quantize`, `dequantize`), so that tests can hold our blocks against those that everybody else reads. As
//! a *peer* it runs a whole model (`Llama`), so that tests compare logits and the benchmark compares speed on the same
//! file in the same minute.
//!
//! Everything stands behind the feature `ggml`, because it needs cmake, a C++ compiler and libclang, and about four
//! minutes of a processor. Without the feature this crate is empty.
//!
//! Uses `ggml-sys`, whose functions are taken as their C headers document them; the two files that call it are the
//! only ones here with `unsafe`.

#[cfg(feature = "ggml")]
mod llama;
#[cfg(feature = "ggml")]
mod rows;

#[cfg(feature = "ggml")]
pub use llama::{Error, Llama, Options, system_info};
#[cfg(feature = "ggml")]
pub use rows::{dequantize, reference_quantize};
