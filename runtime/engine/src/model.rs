//! A model: a mapped file, its shape, its weights, its tokenizer.

use crate::{Config, Error, Tokenizer};
use std::path::Path;

/// A model that can run. Opening it reads the header only.
#[derive(Debug)]
pub struct Model {}

impl Model {
    /// Maps the file and checks that all tensors are there, with the right shapes and types that have kernels.
    pub fn open(_path: impl AsRef<Path>) -> Result<Self, Error> {
        todo!()
    }

    /// The file.
    pub fn file(&self) -> &gguf::File {
        todo!()
    }

    /// The shape.
    pub fn config(&self) -> &Config {
        todo!()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        todo!()
    }
}
