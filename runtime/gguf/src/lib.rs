//! The GGUF file: map it, parse it, check it, write it whole or not at all.
//!
//! ```text
//! "GGUF"  version u32 = 3   n_tensors u64   n_keys u64
//! n_keys    × { key: string   type u32   value }                    string = length u64, bytes
//! n_tensors × { name: string  n_dims u32  n_dims × u64  type u32  offset u64 }
//! zeros up to a multiple of the alignment          ← offsets count from here
//! the tensors' blocks, each padded with zeros to the alignment
//! ```
//!
//! All numbers are little-endian. A reader of downloads meets files that are cut, damaged, or made to harm, so:
//!
//! - **Nothing is believed.** [`File::open`] returns only what has been checked against the bytes that are there; the
//!   rest of the house indexes a tensor's bytes without a second look.
//! - **Memory and time follow the file, not what it declares**: at most 32 MiB plus four times the bytes of the header,
//!   in linear time (tensors are sorted once, to find those that overlap).
//! - **An error is a place and a sentence**: byte, field, what is wrong, what to do.
//!
//! The parser is a function of a byte slice ([`File`] only maps it), so that a test can hand it anything. Mapping, and what
//! is said when a map fails, are the `unsafe` of the room.
//! What is not here: anything about a model. Which keys there must be is the engine's matter.

mod cursor;
mod error;
mod file;
mod foreign;
mod header;
mod layout;
mod metadata;
mod output;
mod system;
mod value;
mod wire;
mod writer;

pub use error::{Error, KeyError, Shown};
pub use file::{File, TensorInfo};
pub use metadata::Metadata;
pub use output::{Fingerprint, Output};
pub use system::explain_cut_files;
pub use value::{Array, Strings, Value};
pub use writer::{TensorSpec, Writer, total_bytes};
