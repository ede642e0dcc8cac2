//! The GGUF file: map it, parse it, check it, write it whole or not at all.

mod error;
mod file;
mod metadata;
mod output;
mod writer;

pub use error::{Error, KeyError};
pub use file::{File, TensorInfo};
pub use metadata::{Array, Metadata, Strings, Value};
pub use output::Output;
pub use writer::{TensorSpec, Writer, total_bytes};
