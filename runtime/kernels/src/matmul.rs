//! Weights times activations: one definition of the sum for every batch, ISA and number of threads.

use crate::{Activations, Team};
use blocks::TensorType;

/// Consecutive rows of a weight matrix, as they lie in the file (or wherever they were read to).
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The type of the blocks.
    pub ty: TensorType,
    /// Weights in a row: whole blocks.
    pub n_cols: usize,
    /// Whole rows.
    pub bytes: &'a [u8],
}

impl Rows<'_> {
    /// How many rows.
    pub fn n_rows(&self) -> usize {
        todo!()
    }

    /// Decodes one row to floats: a token's embedding.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not `n_cols` long.
    pub fn decode(&self, _row: usize, _out: &mut [f32]) {
        todo!()
    }
}

/// A product to be computed: row `r` of `weights` with token `t` gives `out[t * stride + first + r]`.
#[derive(Debug)]
pub struct Product<'a> {
    /// Rows of weights.
    pub weights: Rows<'a>,
    /// Results, `stride` floats a token.
    pub out: &'a mut [f32],
    /// Floats from one token's results to the next's.
    pub stride: usize,
    /// Where the first row's result goes.
    pub first: usize,
}

/// Computes products that share their activations (q, k and v; gate and up), all rows handed out from one counter.
///
/// # Panics
/// If shapes do not agree, or `x` was not packed for a product's type.
pub fn matmul(_team: &Team, _x: &Activations, _products: &mut [Product<'_>]) {
    todo!()
}
