//! Floats to blocks.
//!
//! A block is chosen for the least squared error of what it *decodes to*: scales are rounded to the halves that the
//! file holds first, and the integers are rounded against those. Each format tries 8 to 48 scales around the obvious
//! one. The obvious one, which ggml's reference quantizers take without a search, loses only to a smaller error, so that
//! no block comes out worse than theirs; for `Q6_K`, where theirs search too, ours search wider.
//!
//! | file | formats | what is searched | M weights/s | RMSE |
//! |---|---|---|---|---|
//! | `float` | `F32` `F16` `BF16` | nothing: the nearest number, the largest finite one beyond the range | > 2000 | 1 |
//! | `symmetric` | `Q4_0` `Q5_0` | where the largest weight falls, on either end; the scale is then a least-squares fit | 140, 125 | 0.94 |
//! | `affine` | `Q4_1` `Q5_1` | how much of either end is cut off; scale and minimum are then a least-squares fit | 124, 114 | 0.89, 0.90 |
//! | `q8_0` | `Q8_0` | which integer the largest weight gets | 296 | 0.90 |
//! | `q6_k` | `Q6_K` | each group's integer scale, by the error itself, under three super-scales | 57 | 0.95 |
//!
//! The rates are of one core of a 2.6 GHz server, with the baseline of x86-64 (`examples/encode_rate.rs`): two cores read a
//! 7B model in half precision at about half a gigabyte a second. The error is that of normally distributed weights,
//! as a part of the reference quantizer's. The loops are written for the compiler's vectorizer and take no instruction
//! set for granted.

mod affine;
mod float;
mod lanes;
mod pack;
mod q6_k;
mod q8_0;
mod symmetric;
#[cfg(test)]
mod tests;

use blocks::{Block, TensorType, with_block};

/// A block that can be made from floats.
pub trait Encode: Block {
    /// Makes consecutive blocks of consecutive floats. Every float is finite; values beyond the format's range become
    /// the nearest that it has.
    ///
    /// # Panics
    /// If `weights` is not `out.len() * Self::LEN` long.
    fn encode(weights: &[f32], out: &mut [Self]);
}

/// Encodes floats (any whole number of blocks) as blocks of `ty`, on this thread.
///
/// # Panics
/// If the lengths do not agree, or `ty` has no encoder.
pub fn encode(ty: TensorType, weights: &[f32], out: &mut [u8]) {
    with_block!(encoded ty, B => B::encode(weights, bytemuck::cast_slice_mut(out)), else panic!("no encoder for {ty}"));
}

/// Calls `encode` with each block's weights.
///
/// # Panics
/// If the lengths do not agree.
fn each_block<B: Block, const LEN: usize>(weights: &[f32], out: &mut [B], encode: impl Fn(&[f32; LEN]) -> B) {
    let (blocks, rest) = weights.as_chunks::<LEN>();
    assert!(
        rest.is_empty() && blocks.len() == out.len(),
        "{} weights for {} blocks",
        weights.len(),
        out.len()
    );
    for (weights, out) in blocks.iter().zip(out) {
        *out = encode(weights);
    }
}
