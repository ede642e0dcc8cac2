//! What can be wrong with a file, as sentences.

use std::path::PathBuf;

/// A file that cannot be read or written, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        #[source]
        source: std::io::Error,
    },
    /// The bytes are no GGUF that can be used.
    #[error("{}: at byte {offset}, {field}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where, from the file's start.
        offset: u64,
        /// What was being read: "magic", "tensor `blk.0.attn_q.weight`".
        field: String,
        /// What is wrong, and what was expected.
        problem: String,
    },
}

/// A metadata key that is absent or of the wrong type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It must be there.
    #[error("metadata key `{0}` is missing")]
    Missing(String),
    /// It holds something else.
    #[error("metadata key `{key}` holds {found}, not {expected}")]
    Type {
        /// The key.
        key: String,
        /// "a string".
        found: &'static str,
        /// "an unsigned integer".
        expected: &'static str,
    },
}
