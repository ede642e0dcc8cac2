//! Floats to blocks.
//!
//! A block is chosen for the least cost of the errors in what it *decodes to*: scales are rounded to the halves that the
//! file holds first, and the integers are rounded against those. An error in a weight x costs its square times the importance
//! of its column, where that is known, times √(1 + x² / σ²), σ² being the mean of x² in the block. The root stands for what
//! importance leaves out, that large weights tend to meet inputs that matter: files were closer to the original with it than
//! without, with importance and without, and than with its square (Q3_K: KL divergence 0.0148, 0.0151, 0.0155, and with importance 0.0137,
//! 0.0139, 0.0140; Q2_K without importance 0.0535 for 0.0545; Q4_0 the same within the error, 0.0045).
//!
//! Each format tries dozens of scales. The obvious one, which formulas give, loses only to a smaller cost.
//!
//! | file | formats | what is searched | M weights/s | RMSE |
//! |---|---|---|---|---|
//! | `float` | `F32` `F16` `BF16` | nothing: the nearest number, the largest finite one beyond the range | > 2000 | 1 |
//! | `symmetric` | `Q4_0` `Q5_0` `IQ4_NL` | where the largest weight falls, on either end, in eight blocks abreast | 322, 281, 79 | 0.95, 0.95, 0.97 |
//! | `affine` | `Q4_1` `Q5_1` | how much of either end is cut off; scale and minimum are then a least-squares fit | 103, 100 | 0.90, 0.91 |
//! | `q8_0` | `Q8_0` | which integer the largest weight gets | 251 | 0.91 |
//! | `groups` | `Q3_K` `Q6_K` `IQ4_XS` | as `symmetric`; then `d`, the groups' integers around, and `d` again by least squares | 46, 49, 17 | 0.96, 0.96, 0.97 |
//! | `affine_groups` | `Q2_K` `Q4_K` `Q5_K` | as `affine`; then `d` and `dmin`, the groups' integers around, and both again by least squares | 28, 37, 37 | 0.89, 0.99, 0.96 |
//! | `mxfp4` | `MXFP4` | the power of two | 160 | 0.98 |
//! | `ternary` | `TQ1_0` `TQ2_0` | which weights are not 0 | 211, 147 | 0.55 |
//!
//! The rates are of one core of a shared AMD Zen 3 with AVX2, the best of three runs (`examples/encode_rate.rs`, without link-time optimization). The error is that of normally distributed
//! weights, as a part of what llama.cpp's quantizer makes of them without importance: `Q2_K` to `Q6_K`, `IQ4_NL` and `IQ4_XS` are searched there too.
//! Weighted as said, an encoder does not aim at this error; of plain squares it would be up to a fiftieth less.

mod abreast;
mod affine;
mod affine_groups;
mod float;
mod groups;
mod lanes;
mod levels;
mod mxfp4;
mod pack;
pub(crate) mod processor;
mod q8_0;
mod symmetric;
mod ternary;
#[cfg(test)]
mod tests;

use abreast::LANES;
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

    /// Eight blocks' scales, where errors cost what [`Encode`] says: a short search is faster in all of them at once.
    ///
    /// # Panics
    /// As [`fit`](Self::fit).
    #[inline(always)]
    fn fit_eight(weights: &[&[f32]; LANES], importance: Option<&[&[f32]; LANES]>) -> [Self::Scales; LANES] {
        let mut costs = [0.0; MAX_LEN];
        let costs = &mut costs[..Self::LEN];
        // A loop, so that a long search stands in the program once.
        let mut scales = [None; LANES];
        for (lane, scales) in scales.iter_mut().enumerate() {
            price(weights[lane], importance.map(|all| all[lane]), costs);
            *scales = Some(Self::fit(weights[lane], costs));
        }
        scales.map(|scales| scales.expect("all were fitted"))
    }

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
        let mut codes = [0; MAX_LEN];
        processor::run(
            #[inline(always)]
            || {
                for (n, out) in out.chunks_mut(LANES).enumerate() {
                    // The last stands in for those that are missing. All are cut where the loops are, which have a
                    // constant length so.
                    let mut starts = [0; LANES];
                    for (lane, start) in starts.iter_mut().enumerate() {
                        *start = (n * LANES + lane.min(out.len() - 1)) * B::LEN;
                    }
                    let weights = starts.map(|start| &weights[start..][..B::LEN]);
                    let importance = importance.map(|all| starts.map(|start| &all[start..][..B::LEN]));
                    let all_scales = B::fit_eight(&weights, importance.as_ref());
                    for ((out, scales), weights) in out.iter_mut().zip(&all_scales).zip(weights) {
                        let codes = &mut codes[..B::LEN];
                        for (at, (code, &weight)) in codes.iter_mut().zip(weights).enumerate() {
                            *code = B::nearest(scales, at, weight).0;
                        }
                        *out = B::pack(scales, codes);
                    }
                }
            },
        );
    }
}

/// [`Grid::fit`], compiled for this processor.
pub(crate) fn fit<B: Grid>(weights: &[f32], importance: &[f32]) -> B::Scales {
    processor::run(
        #[inline(always)]
        || B::fit(weights, importance),
    )
}

/// The square of a weight. Beyond the limit, squares are not finite, nor such weights in any format but MXFP4's.
#[inline(always)]
fn square(x: f32) -> f32 {
    // Not `clamp`, which became a branch for each weight.
    let x = x.abs().min(1e18);
    x * x
}

/// What an error in each weight of a block costs: its importance, times √(1 + x² / σ²), σ² being the mean of x².
#[inline(always)]
fn price(weights: &[f32], importance: Option<&[f32]>, costs: &mut [f32]) {
    let mut sums = [0.0; 8];
    for eight in weights.as_chunks::<8>().0 {
        for (sum, &x) in sums.iter_mut().zip(eight) {
            *sum += square(x);
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let sum: f32 = ((a + e) + (c + g)) + ((b + f) + (d + h));
    // Where that is nothing, so are the weights in any format.
    let per_mean = weights.len() as f32 / sum.max(1e-30);
    for (cost, &x) in costs.iter_mut().zip(weights) {
        *cost = (1.0 + square(x) * per_mean).sqrt();
    }
    if let Some(importance) = importance {
        costs.iter_mut().zip(importance).for_each(|(cost, importance)| *cost *= importance);
    }
}

/// The longest block.
const MAX_LEN: usize = 256;

/// Encodes floats (any whole number of blocks) as blocks of `ty`, on this thread. `importance` is as of [`Encode::encode`].
///
/// # Panics
/// If the lengths do not agree, or `ty` has no encoder.
pub fn encode(ty: TensorType, weights: &[f32], importance: Option<&[f32]>, out: &mut [u8]) {
    with_block!(ty, B => B::encode(weights, importance, bytemuck::cast_slice_mut(out)),
        else panic!("no encoder for {ty}"));
}

/// A slice as the array that it must be.
///
/// # Panics
/// If it has another length.
#[inline(always)]
fn exactly<const LEN: usize, T>(slice: &[T]) -> &[T; LEN] {
    slice.try_into().unwrap_or_else(|_| panic!("{} weights of a block of {LEN}", slice.len()))
}
