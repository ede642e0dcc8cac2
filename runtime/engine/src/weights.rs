//! Where each matrix lies in the file, and the one way to its rows.

use blocks::TensorType;

/// A weight matrix of the file.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Type of its blocks.
    pub ty: TensorType,
    /// Rows: outputs.
    pub n_rows: usize,
    /// Columns: inputs.
    pub n_cols: usize,
}

/// The matrices and norms of a layer.
#[derive(Clone, Debug)]
pub struct Layer {}

/// All weights of a model.
#[derive(Clone, Debug)]
pub struct Weights {}
