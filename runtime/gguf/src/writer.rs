//! Writes a GGUF v3 in one pass: the header first, then the tensors' bytes in order.

use crate::{Error, Metadata};
use blocks::TensorType;
use std::path::Path;

/// A tensor that will be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// As the file will name it.
    pub name: String,
    /// GGUF's order: `shape[0]` is the length of a row.
    pub shape: Vec<u64>,
    /// The type of its blocks.
    pub ty: TensorType,
}

/// Bytes of the whole file, header and padding included.
pub fn total_bytes(_metadata: &Metadata, _tensors: &[TensorSpec]) -> u64 {
    todo!()
}

/// A GGUF in the making.
#[derive(Debug)]
pub struct Writer {}

impl Writer {
    /// Checks that there is room, and writes the header. Nothing stands under `path` until [`finish`](Self::finish).
    pub fn create(_path: impl AsRef<Path>, _metadata: &Metadata, _tensors: &[TensorSpec]) -> Result<Self, Error> {
        todo!()
    }

    /// The next bytes of the tensors' data, in the order of `tensors`. Padding between tensors is the writer's.
    ///
    /// # Panics
    /// If more bytes come than the tensors have.
    pub fn write(&mut self, _bytes: &[u8]) -> Result<(), Error> {
        todo!()
    }

    /// Ends the file: fsync, rename.
    ///
    /// # Panics
    /// If bytes are missing.
    pub fn finish(self) -> Result<(), Error> {
        todo!()
    }
}
