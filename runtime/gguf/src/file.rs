//! A mapped file and what its header says.

use crate::{Error, Metadata};
use blocks::TensorType;
use std::path::{Path, PathBuf};

/// What a header says of a tensor. All of it has been checked against the file: type known, whole blocks, inside
/// the file, aligned, overlapping no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// As the file names it: `blk.0.attn_q.weight`.
    pub name: String,
    /// 1 to 4 dimensions in GGUF's order: `shape[0]` is the length of a row.
    pub shape: Vec<u64>,
    /// The type of its blocks.
    pub ty: TensorType,
    /// First byte, from the start of the file.
    pub offset: u64,
    /// Bytes, without padding.
    pub n_bytes: u64,
}

impl TensorInfo {
    /// Weights in a row.
    pub fn n_cols(&self) -> u64 {
        self.shape[0]
    }

    /// Rows: the product of all other dimensions.
    pub fn n_rows(&self) -> u64 {
        self.shape[1..].iter().product()
    }

    /// Weights.
    pub fn n_elements(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// A GGUF that is mapped and checked.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
}

impl File {
    /// Maps and checks a file. Nothing of a tensor's data is read.
    pub fn open(_path: impl AsRef<Path>) -> Result<Self, Error> {
        todo!()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keys and values.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// All tensors, in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn tensor(&self, _name: &str) -> Option<&TensorInfo> {
        todo!()
    }

    /// A tensor's bytes where they lie in the map. `tensor` must be one of this file's.
    pub fn bytes(&self, _tensor: &TensorInfo) -> &[u8] {
        todo!()
    }

    /// GGUF version of the file: 2 or 3.
    pub fn version(&self) -> u32 {
        todo!()
    }

    /// `general.alignment`, default 32.
    pub fn alignment(&self) -> u64 {
        todo!()
    }

    /// Bytes of the whole file.
    pub fn n_bytes(&self) -> u64 {
        todo!()
    }
}
