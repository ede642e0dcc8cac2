//! The arithmetic: matrix products per block format and ISA, norms, rotary embedding, attention, threads.
//!
//! # One definition of every sum
//!
//! A result has the same bits at every ISA level, for every batch size, split of rows and number of threads. So a text
//! is the same on every machine, a prompt may be fed in one pass or token by token, and tests assert equality where
//! others assert a tolerance. Each operation's definition is its scalar; for products it is, with activations `a` in
//! int8 (see [`Activations`]):
//!
//! | weights | a block of a row adds |
//! |---|---|
//! | Q4_0 Q5_0 Q8_0 IQ4_NL MXFP4 | `acc = fma(f32(Σ q·a), d_w · d_a, acc)`, the integer sum exact |
//! | Q4_1 Q5_1 | the same, then `acc = fma(m_w, f32(Σ a) · d_a, acc)` |
//! | Q3_K Q6_K IQ4_XS TQ1_0 TQ2_0 | `acc = fma(f32(Σ_s scale_s · Σ q·a) · d_w, d_a, acc)`, all integers exact |
//! | Q2_K Q4_K Q5_K | `t = fma(f32(Σ_s scale_s · Σ q·a), d_w, −(f32(Σ_s min_s · Σ a) · dmin_w))`, `acc = fma(t, d_a, acc)` |
//! | F32 F16 BF16 | eight chains of fused multiply-adds, column `k` in chain `k mod 8`, joined by a fixed tree |
//!
//! The blocks of quantized weights follow each other in one chain per result: floats are never summed in parts. That a vector holds
//! *one column of several rows* and not several columns of one row makes this free: a lane is a result, and a block's work in
//! floats serves as many results as there are lanes. Float weights have no such work, and turning them costs more than a tree
//! for each row: there a vector is eight columns of one row.
//!
//! Norms and softmax sum over 16 virtual lanes and a fixed tree; `exp`, sine and cosine are our own; attention's
//! tiles start at position 0. What is left to the hardware is IEEE 754: additions, products, fused multiply-adds,
//! division, square root.
//!
//! # How it is laid out
//!
//! Rows of weights are multiplied where they lie, in panels of 32 that threads claim from a counter. For a token alone
//! the bytes are turned in registers, as many rows as a vector has lanes (AVX-512 sixteen, AVX2 eight, NEON four), while
//! the rows that follow are fetched, in four streams: rows are contiguous in the file, and a prefetcher in hardware
//! follows each page of its own. For several tokens 256 columns of a panel are unpacked once into a tile in the first
//! cache, and meet activations that lie as they are needed: 256 columns of one token after another, with their scales
//! and sums. Float weights become floats in registers for any number of tokens, and are read row by row.
//!
//! * A **format** is a folder of `unpack`: what a block means, with a sibling for each level.
//! * A **shape of sum** is a folder of `dot`: a float scale per 32, integer scales and minimums under a float per 256, floats.
//! * A **level** is a variant of [`Isa`] with a token that only detection makes, its loads in `isa`, and its siblings.
//!   AVX-512 contains AVX2 and takes that sibling where it has none. Levels with vectors of one width unpack alike: a
//!   format has one sibling for those of Arm, `neon`, and one for AVX2 and AVX-VNNI; they differ in the shapes of sum. What needs no instruction of its own
//!   (norms, attention, packing) is plain code compiled under each level's features.
//!
//! # How fast it is
//!
//! `cargo run --release -p llamita-kernels --example speed [ISA] 2` on two cores of a Xeon (a shared virtual machine; memory
//! gives 31 GB/s, the int8 units 988, 534 and 351 · 10⁹ multiply-adds a second at these levels), rows of 4096. A token
//! alone as a share of the memory's bandwidth; 128 tokens in 10⁹ multiply-adds a second. README.md has all types.
//!
//! | | Q4_0 | Q8_0 | Q4_K | Q6_K | F16 |
//! |---|---|---|---|---|---|
//! | one token, AVX-512, AVX-VNNI, AVX2 | 0.84 0.74 0.71 | 0.91 0.85 0.82 | 0.76 0.73 0.70 | 0.80 0.76 0.77 | 0.85 0.79 0.77 |
//! | 128 tokens | 522 303 177 | 485 288 115 | 524 236 210 | 428 189 182 | 128 96 95 |
//!
//! AVX2's figures, and F16's at every level, are those of kernels that were written anew since, on a Zen 3. One of its cores, whose int8 units do 163 and which
//! reads 14 to 25 GB/s of memory, comes to 103 with Q4_0, 62 with Q8_0, 117 with Q4_K, 110 with Q6_K and 48 with F16 for 126 tokens, and reads
//! 22, 29, 23, 19 and 38 GB/s from its caches for a token alone (`--example cached avx2`).
//!
//! What limits AVX-512 at many tokens: two of three ports multiply, convert and scale, so that a block of 32 with a float
//! scale of its own cannot pass 0.73 of the peak here, and a loop of nothing else reached 0.67. Tried and lost, for 128
//! tokens: tiles of 512 columns (the same), five tokens a step (the same), passes of 256 tokens (0.54 for 0.57: the
//! second cache is full), products of 32 bits for the scales of K-quants (0.46 for 0.58 of the peak with Q4_K),
//! the compiler's own choice for chains of `vpdpwssd` (0.51).
//!
//! To add a format: its block in `blocks`, its folder in `unpack`. To add a level: a line in `isa.rs` wherever the
//! compiler asks, and a sibling in each folder, or none where a level that it contains has one (see `isa::dispatch!`).

#![cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(dead_code, reason = "the scalar takes a row at a time and fetches nothing ahead")
)]

mod activations;
mod attention;
mod dot;
mod elementwise;
mod exp;
mod hadamard;
mod halves;
mod isa;
mod lanes;
mod machine;
mod matmul;
#[cfg(test)]
mod random;
mod rope;
mod team;
mod unpack;

pub use activations::{Activations, Packing};
pub use attention::{
    Attention, CacheType, CacheTypes, MAX_HEAD_DIM, NewTokens, TILE as ATTENTION_TILE, UnknownCacheType,
    attention, store,
};
pub use elementwise::{add, rms_norm, silu_mul};
pub use hadamard::hadamard;
pub use isa::{Isa, IsaError};
pub use machine::{ReadLimit, f32_peak, int8_peak, operation_seconds, read_bandwidth};
pub use matmul::{Product, Rows, kernel, matmul};
pub use rope::{RopeTable, rope};
pub use team::Team;
