//! A GGUF from one type to another, in a stream.

use crate::{Error, FileType, Monitor};
use std::path::Path;

/// How to quantize.
#[derive(Clone, Debug)]
pub struct Options {
    /// The type of the output.
    pub file_type: FileType,
    /// Take quantized tensors as input too: they lose twice.
    pub allow_requantize: bool,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Bytes of the input file.
    pub input_bytes: u64,
    /// Bytes of the output file.
    pub output_bytes: u64,
}

/// Writes `input` with its matrices as `options` says. Metadata and tensor order are kept.
pub fn quantize(
    _input: &gguf::File,
    _output: &Path,
    _options: &Options,
    _monitor: &dyn Monitor,
) -> Result<Summary, Error> {
    todo!()
}
