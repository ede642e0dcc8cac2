//! How a stream reads, and what memory that takes.

use super::disk;
use crate::Model;

/// How a stream reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamOptions {
    /// Bytes of a piece.
    pub piece_bytes: usize,
    /// Bytes that are read ahead of the pass.
    pub ahead_bytes: usize,
    /// How many read at once; `None`: as many as the disk turns out to want.
    pub n_readers: Option<usize>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { piece_bytes: 1 << 20, ahead_bytes: 8 << 20, n_readers: None }
    }
}

impl StreamOptions {
    /// Bytes that a stream of a model takes beside the weights that it keeps: the ring with the piece in use and one
    /// that is being given back, vectors, a row of the embedding.
    pub(crate) fn n_bytes(&self, model: &Model) -> u64 {
        let vectors = model.weights().vectors().map(|norm| model.file().tensors()[norm.tensor].n_bytes);
        let longest = model.weights().matrices().map(|matrix| {
            let row_bytes = model.file().tensors()[matrix.tensor].n_bytes / matrix.n_rows as u64;
            self.piece_bytes as u64 + row_bytes
        });
        let ring = self.ahead_bytes as u64 + 2 * longest.max().unwrap_or(0);
        vectors.sum::<u64>() + ring + (self.ahead_bytes / self.piece_bytes * 2 * disk::PAGE_BYTES) as u64
    }
}
