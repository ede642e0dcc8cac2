//! Float weights: one chain of fused multiply-adds in the order of k inside each run of 256, and the runs added in
//! order. The runs bound the error of a long row and are the tiles of a batch.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod scalar;

use crate::activations::RUN;
