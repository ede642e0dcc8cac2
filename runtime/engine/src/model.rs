//! A model: a mapped file, its shape, its weights, its tokenizer.

use crate::weights::Norm;
use crate::{Config, Error, Matrix, Tokenizer, Weights};
use kernels::Rows;
use std::ops::Range;
use std::path::Path;

/// A model that can run. Opening it reads the header only.
#[derive(Debug)]
pub struct Model {
    file: gguf::File,
    config: Config,
    weights: Weights,
    tokenizer: Tokenizer,
    /// Bytes that stand for a tensor's.
    replaced: Option<(usize, Vec<u8>)>,
}

impl Model {
    /// Maps the file and checks that all tensors are there, with the right shapes and types that have kernels.
    ///
    /// # Errors
    /// If the file is no GGUF, or not a `llama` model that can run: then the sentence says what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let file = gguf::File::open(path)?;
        let config = Config::from_gguf(&file)?;
        let weights = Weights::from_gguf(&file, &config)?;
        let tokenizer = Tokenizer::from_gguf(&file)?;
        let (n_tokens, n_vocab) = (tokenizer.n_tokens(), config.n_vocab);
        if n_tokens != n_vocab {
            return Err(Error::model(
                &file,
                format!(
                    "the tokenizer has {n_tokens} tokens, but `token_embd.weight` has {n_vocab} rows: the file was put together wrongly"
                ),
            ));
        }
        Ok(Self { file, config, weights, tokenizer, replaced: None })
    }

    /// The file.
    pub fn file(&self) -> &gguf::File {
        &self.file
    }

    /// The shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The weights' places.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Has a matrix of the file, a tensor by its place in [`gguf::File::tensors`], be other weights of the same type; the
    /// one that was replaced before is the file's again. A session that streams its weights reads the file's all the same.
    ///
    /// # Panics
    /// If there is no such tensor, or it has not as many bytes.
    pub fn replace(&mut self, tensor: usize, bytes: Vec<u8>) {
        assert_eq!(bytes.len() as u64, self.file.tensors()[tensor].n_bytes, "bytes of another matrix");
        self.replaced = Some((tensor, bytes));
    }

    /// Rows of a matrix: the one way from a weight's place to its bytes.
    ///
    /// # Panics
    /// If the matrix is not of this model, or has no such rows.
    pub fn rows(&self, matrix: &Matrix, rows: Range<usize>) -> Rows<'_> {
        let bytes = match &self.replaced {
            Some((tensor, bytes)) if *tensor == matrix.tensor => bytes,
            _ => self.file.bytes(&self.file.tensors()[matrix.tensor]),
        };
        let row_bytes = bytes.len() / matrix.n_rows;
        Rows {
            ty: matrix.ty,
            n_cols: matrix.n_cols,
            bytes: &bytes[rows.start * row_bytes..rows.end * row_bytes],
        }
    }

    /// Whether the embedding is the output matrix, too.
    pub(crate) fn is_tied(&self) -> bool {
        self.weights.output.tensor == self.weights.token_embd.tensor
    }

    /// Bytes of the largest layer's matrices.
    pub(crate) fn layer_bytes(&self) -> u64 {
        let n_bytes = |matrix: &Matrix| self.file.tensors()[matrix.tensor].n_bytes;
        let layers = self.weights.layers.iter().map(|layer| layer.matrices().into_iter().map(n_bytes).sum());
        layers.max().unwrap_or(0)
    }

    /// A norm's weights.
    pub(crate) fn norm(&self, norm: Norm) -> &[f32] {
        // Cannot fail: the offset was checked to be a multiple of 4, and a map starts at a page.
        bytemuck::cast_slice(self.file.bytes(&self.file.tensors()[norm.tensor]))
    }
}

#[cfg(test)]
mod tests;
