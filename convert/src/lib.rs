//! Checkpoints to GGUF: Meta's shards, their pickle, their tokenizer.

mod error;

pub use error::Error;
use quantize::{FileType, Monitor};
use std::path::{Path, PathBuf};

/// How to convert.
#[derive(Clone, Debug)]
pub struct Options {
    /// The type of the output.
    pub file_type: FileType,
    /// Which chat template the file carries.
    pub chat_template: ChatTemplate,
    /// The context length, where the folder's name does not tell it.
    pub context_length: Option<u32>,
    /// Check `checklist.chk`.
    pub verify: bool,
}

/// The chat template that a converted file carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatTemplate {
    /// Llama 2's where the folder's name says chat, else none; said either way.
    Auto,
    /// None.
    None,
    /// Llama 2's.
    Llama2,
    /// The text of this file.
    File(PathBuf),
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The file that was written.
    pub output: PathBuf,
    /// Its size.
    pub output_bytes: u64,
    /// Bytes of the checkpoint that were read.
    pub input_bytes: u64,
}

/// Converts the checkpoint in `folder` to one GGUF: `output`, or a name made of the folder's and the type's in the
/// current folder.
pub fn convert(
    _folder: &Path,
    _output: Option<&Path>,
    _options: &Options,
    _monitor: &dyn Monitor,
) -> Result<Summary, Error> {
    todo!()
}
