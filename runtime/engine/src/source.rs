//! Where a session's weights come from: where they lie in the mapped file, or piece by piece from the disk.

use crate::stream::Stream;
use crate::weights::Norm;
use crate::{Error, Matrix, Model};
use blocks::TensorType;
use kernels::{Activations, Product, Team};
use std::collections::HashMap;

/// The weights of a model, as a session has them.
#[derive(Debug)]
pub(crate) enum Source<'m> {
    /// In the map: the model fits.
    Mapped(&'m Model),
    /// It does not.
    Streamed(Box<Stream<'m>>),
    /// In the map, but for matrices, by their tensor's place, that have other weights for a while.
    Replaced(&'m Model, HashMap<usize, (TensorType, Vec<u8>)>),
}

impl<'m> Source<'m> {
    /// Whose they are.
    pub(crate) fn model(&self) -> &'m Model {
        match self {
            Self::Mapped(model) | Self::Replaced(model, _) => model,
            Self::Streamed(stream) => stream.model(),
        }
    }

    /// The type that a matrix has here.
    pub(crate) fn ty(&self, matrix: &Matrix) -> TensorType {
        match self {
            Self::Replaced(_, others) => others.get(&matrix.tensor).map_or(matrix.ty, |(ty, _)| *ty),
            _ => matrix.ty,
        }
    }

    /// A pass is done with a layer.
    pub(crate) fn end_layer(&mut self) {
        if let Self::Streamed(stream) = self {
            stream.end_layer();
        }
    }

    /// A vector.
    pub(crate) fn vector(&self, norm: Norm) -> &[f32] {
        match self {
            Self::Mapped(model) | Self::Replaced(model, _) => model.norm(norm),
            Self::Streamed(stream) => stream.vector(norm),
        }
    }

    /// The embedding of a token.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn embedding(&mut self, token: u32, out: &mut [f32]) -> Result<(), Error> {
        let row = token as usize;
        match self {
            Self::Mapped(model) | Self::Replaced(model, _) => {
                model.rows(&model.weights().token_embd, row..row + 1).decode(0, out)
            }
            Self::Streamed(stream) => stream.embedding(row, out)?,
        }
        Ok(())
    }

    /// Multiplies matrices with the same activations, all at once or as their pieces come.
    ///
    /// # Errors
    /// If a piece cannot be read.
    pub(crate) fn multiply<const N: usize>(
        &mut self,
        team: &Team,
        packed: &Activations,
        products: [(&Matrix, &mut [f32]); N],
    ) -> Result<(), Error> {
        match self {
            Self::Replaced(model, others) => {
                let mut products = products.map(|(matrix, out)| {
                    let mut weights = model.rows(matrix, 0..matrix.n_rows);
                    if let Some((ty, bytes)) = others.get(&matrix.tensor) {
                        (weights.ty, weights.bytes) = (*ty, bytes);
                    }
                    Product { weights, out, stride: matrix.n_rows, first: 0 }
                });
                kernels::matmul(team, packed, &mut products);
            }
            Self::Mapped(model) => {
                let mut products = products.map(|(matrix, out)| {
                    let weights = model.rows(matrix, 0..matrix.n_rows);
                    Product { weights, out, stride: matrix.n_rows, first: 0 }
                });
                kernels::matmul(team, packed, &mut products);
            }
            Self::Streamed(stream) => {
                for (matrix, out) in products {
                    for piece in stream.pieces(matrix) {
                        let (first, weights) = stream.rows(matrix, piece)?;
                        let product = Product { weights, out, stride: matrix.n_rows, first };
                        kernels::matmul(team, packed, &mut [product]);
                    }
                }
            }
        }
        Ok(())
    }
}
