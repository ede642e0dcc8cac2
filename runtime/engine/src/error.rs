//! Why a model cannot be used.

use std::path::PathBuf;

/// What is wrong, in which file, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file itself.
    #[error(transparent)]
    File(#[from] gguf::Error),
    /// A metadata key.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key.
        #[source]
        source: gguf::KeyError,
    },
    /// The file is a sound GGUF, but not a model that can run.
    #[error("{}: {problem}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Weights cannot be read while the model runs.
    #[error("{}: {what} ({source})", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Which bytes, and what may be the reason.
        what: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file of a model's predictions, a [`Base`](crate::Base).
    #[error("{}: {problem}", path.display())]
    Base {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Who watched a pass has ended it; nothing was appended by it.
    #[error("stopped")]
    Stopped,
    /// The request cannot be met: context full, an unknown token.
    #[error("{0}")]
    Request(String),
}

impl Error {
    pub(crate) fn model(file: &gguf::File, problem: impl Into<String>) -> Self {
        Self::Model { path: file.path().to_owned(), problem: problem.into() }
    }

    pub(crate) fn read(file: &gguf::File, what: &str, source: std::io::Error) -> Self {
        Self::Read { path: file.path().to_owned(), what: what.to_owned(), source }
    }

    pub(crate) fn key(file: &gguf::File, source: gguf::KeyError) -> Self {
        Self::Key { path: file.path().to_owned(), source }
    }
}
