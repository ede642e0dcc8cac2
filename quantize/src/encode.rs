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
mod level;
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
    /// the nearest that it has. `importance` is what an error in each weight costs, positive and about 1; `None` where
    /// nothing is known of it.
    ///
    /// # Panics
    /// If `weights`, or `importance` where it is given, is not `out.len() * Self::LEN` long.
    fn encode(weights: &[f32], importance: Option<&[f32]>, out: &mut [Self]);
}

/// A format as a grid: a block's scales, once chosen, say which values each of its weights may take.
///
/// [`Encode`] chooses scales, rounds every weight to the nearest value and packs. Who corrects later weights for the errors
/// of earlier ones does the same in steps: scales for the corrected weights, then one column after another, then the block.
/// The value that [`nearest`](Self::nearest) gives is what the packed block decodes to, bit for bit.
pub trait Grid: Block {
    /// A block's scales as the file will hold them, with what rounding to them takes.
    type Scales: Copy + Send + Sync;

    /// The scales of the least Σ importance · error², as far as the search finds them, for `LEN` finite weights.
    ///
    /// # Panics
    /// If the lengths are not `LEN`.
    fn fit(weights: &[f32], importance: &[f32]) -> Self::Scales;

    /// The code of the nearest value that weight `at` (0 … LEN − 1) of the block may take, and that value.
    fn nearest(scales: &Self::Scales, at: usize, weight: f32) -> (u8, f32);

    /// The block of these scales and codes.
    ///
    /// # Panics
    /// If there are not `LEN` codes.
    fn pack(scales: &Self::Scales, codes: &[u8]) -> Self;
}

impl<B: Grid> Encode for B {
    fn encode(weights: &[f32], importance: Option<&[f32]>, out: &mut [Self]) {
        assert!(
            weights.len() == B::LEN * out.len() && importance.is_none_or(|all| all.len() == weights.len()),
            "{} weights for {} blocks",
            weights.len(),
            out.len()
        );
        for (block, (weights, out)) in weights.chunks_exact(B::LEN).zip(out).enumerate() {
            let importance = importance.map_or(&ALIKE[..B::LEN], |all| &all[block * B::LEN..][..B::LEN]);
            let scales = B::fit(weights, importance);
            *out = level::run(|| {
                let mut codes = [0; MAX_LEN];
                for (at, (code, &weight)) in codes[..B::LEN].iter_mut().zip(weights).enumerate() {
                    *code = B::nearest(&scales, at, weight).0;
                }
                B::pack(&scales, &codes[..B::LEN])
            });
        }
    }
}

/// The longest block.
const MAX_LEN: usize = 256;

/// Importance where nothing is known of it.
const ALIKE: [f32; MAX_LEN] = [1.0; MAX_LEN];

/// Encodes floats (any whole number of blocks) as blocks of `ty`, on this thread, for the least sum of squared errors, or of
/// `importance` times squared errors.
///
/// # Panics
/// If the lengths do not agree, or `ty` has no encoder.
pub fn encode(ty: TensorType, weights: &[f32], importance: Option<&[f32]>, out: &mut [u8]) {
    with_block!(encoded ty, B => B::encode(weights, importance, bytemuck::cast_slice_mut(out)),
        else panic!("no encoder for {ty}"));
}

/// A block's one scale, and its inverse.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    d: f32,
    inverse: f32,
}

impl Scale {
    #[inline(always)]
    fn of(d: f32) -> Self {
        Self { d, inverse: lanes::inverse(d) }
    }
}

/// A slice as the array that it must be.
///
/// # Panics
/// If it has another length.
#[inline(always)]
fn exactly<const LEN: usize, T>(slice: &[T]) -> &[T; LEN] {
    slice.try_into().unwrap_or_else(|_| panic!("{} weights of a block of {LEN}", slice.len()))
}
