//! What can be wrong with a checkpoint, as sentences.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a checkpoint was not converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] gguf::Error),
    /// The user stopped it.
    #[error(transparent)]
    Cancelled(#[from] quantize::Cancelled),
    /// A tensor cannot be encoded.
    #[error(transparent)]
    Encode(quantize::Error),
    /// The operating system refused to read a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what a file of its name should.
    #[error("{}: {place}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in it: "at byte 120, zip directory", "key `dim`", "tensor `norm.weight`".
        place: String,
        /// What is wrong there, and what to do.
        problem: String,
    },
    /// The file is not of the kind that its name says, or the folder lacks a file.
    #[error("{}: {problem}", path.display())]
    Unfit {
        /// The file or the folder.
        path: PathBuf,
        /// What it is instead, and what to do.
        problem: String,
    },
}

impl Error {
    /// Whether the same call can succeed later, and go on where this one ended.
    pub(crate) fn is_interruption(&self) -> bool {
        matches!(self, Self::Cancelled(_) | Self::Output(gguf::Error::DiskFull { .. }))
    }

    pub(crate) fn malformed(path: &Path, place: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self::Malformed { path: path.to_owned(), place: place.to_string(), problem: problem.to_string() }
    }

    pub(crate) fn unfit(path: &Path, problem: impl fmt::Display) -> Self {
        Self::Unfit { path: path.to_owned(), problem: problem.to_string() }
    }

    /// For `map_err`: the system's reason with the file's name.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

impl From<quantize::Error> for Error {
    fn from(error: quantize::Error) -> Self {
        match error {
            quantize::Error::File(error) => Self::Output(error),
            quantize::Error::Cancelled(cancelled) => Self::Cancelled(cancelled),
            error => Self::Encode(error),
        }
    }
}
