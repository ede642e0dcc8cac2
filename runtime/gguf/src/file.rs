//! A mapped file and what its header says.

use crate::header::{self, Header};
use crate::{Error, Metadata, system};
use blocks::TensorType;
use memmap2::Mmap;
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
    file: std::fs::File,
    map: Mmap,
    header: Header,
}

impl File {
    /// Maps and checks a file. Nothing of a tensor's data is read.
    ///
    /// The file must keep its bytes while it is open: a program that shortens it ends this one (SIGBUS; see
    /// [`explain_cut_files`](crate::explain_cut_files)). Replacing it, as [`Output`](crate::Output) does, is harmless: the
    /// map holds the old one.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let failed = |source| Error::io(path, "cannot be opened")(source);
        let file = system::open(path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        if !kind.is_file() {
            let what = if kind.is_dir() { "a directory" } else { "a device, pipe or socket" };
            return Err(Error::NotAFile { path: path.to_owned(), what });
        }
        // SAFETY: the map is only read, and never as anything but bytes, for which every value is valid. That no one
        // shortens or rewrites the file meanwhile is what this function's doc asks of its user; what is kept of the
        // header was copied before it was checked.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path, "cannot be mapped into memory"))?;
        let header = header::parse(&map).map_err(|found| Error::malformed(path, found))?;
        Ok(Self { path: path.to_owned(), file, map, header })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, for who reads instead of using the map: still the same one when another has taken its name.
    pub fn handle(&self) -> &std::fs::File {
        &self.file
    }

    /// Keys and values.
    pub fn metadata(&self) -> &Metadata {
        &self.header.metadata
    }

    /// All tensors, in the order of the header. A vocabulary-only file has none.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.header.tensors
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.header.by_name.get(name).map(|&index| &self.header.tensors[index as usize])
    }

    /// A tensor's bytes where they lie in the map. `tensor` must be one of this file's.
    pub fn bytes(&self, tensor: &TensorInfo) -> &[u8] {
        // Both fit: they were checked against the length of the map.
        &self.map[tensor.offset as usize..][..tensor.n_bytes as usize]
    }

    /// GGUF version of the file: 2 or 3.
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// `general.alignment`, default 32.
    pub fn alignment(&self) -> u64 {
        self.header.alignment
    }

    /// Bytes of the whole file.
    pub fn n_bytes(&self) -> u64 {
        self.map.len() as u64
    }
}
