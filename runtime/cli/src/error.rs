//! How a command ends when it does not succeed.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};

/// Why a command did not succeed. Its text is what the user reads.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file that this crate itself reads or writes.
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Convert(convert::Error),
    #[error("{}{source}", prefix(path, source))]
    Quantize {
        path: PathBuf,
        #[source]
        source: quantize::Error,
    },
    /// The work was done, and the answer is no.
    #[error("{0}")]
    Failed(String),
    /// The call asks for something that no file can give.
    #[error("{0}")]
    Call(String),
    /// The user stopped it. The text says what became of the work; empty: nothing needs to be said.
    #[error("{0}")]
    Interrupted(String),
    /// Whoever read standard output does not want more: `| head -1`.
    #[error("standard output is closed")]
    OutputClosed,
    /// A panic, already reported by its hook.
    #[error("a fault of llamita's own")]
    Fault,
}

impl Error {
    /// Names the file that an operation failed on.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// What went wrong while the file at `path` was quantized.
    pub(crate) fn quantize(path: &Path, source: quantize::Error) -> Self {
        match source {
            quantize::Error::Cancelled(cancelled) => Self::Interrupted(cancelled.to_string()),
            source => Self::Quantize { path: path.to_owned(), source },
        }
    }

    /// See the table in `main.rs`.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Call(_) => 2,
            Self::Interrupted(_) => 130,
            _ => 1,
        }
    }

    /// What the user should read, with every cause that the text does not name already; `None`: nothing.
    pub(crate) fn sentence(&self) -> Option<String> {
        match self {
            Self::OutputClosed | Self::Fault => None,
            Self::Interrupted(text) if text.is_empty() => None,
            error => Some(with_causes(error)),
        }
    }
}

/// A library that was handed an open file may speak of its tensors alone: the user needs the file too.
fn prefix(path: &Path, error: &quantize::Error) -> String {
    let path = path.display().to_string();
    if error.to_string().contains(&path) { String::new() } else { path + ": " }
}

/// Some errors carry their cause in their text, some only as `source`: each cause is told once.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

impl From<convert::Error> for Error {
    fn from(error: convert::Error) -> Self {
        match error {
            convert::Error::Cancelled(cancelled) => Self::Interrupted(cancelled.to_string()),
            error => Self::Convert(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("the outer")]
        struct Outer(#[source] Error);

        let inner = Error::io(Path::new("a.gguf"))(std::io::Error::other("the disk is full"));
        assert_eq!(with_causes(&inner), "a.gguf: the disk is full");
        assert_eq!(with_causes(&Outer(inner)), "the outer: a.gguf: the disk is full");
    }

    #[test]
    fn statuses_are_those_of_the_table() {
        for (error, status, says) in [
            (Error::Failed("no".into()), 1, Some("no")),
            (Error::Call("no such level".into()), 2, Some("no such level")),
            (
                Error::quantize(Path::new("a"), quantize::Error::Cancelled(quantize::Cancelled)),
                130,
                Some("interrupted"),
            ),
            (Error::from(convert::Error::Cancelled(quantize::Cancelled)), 130, Some("interrupted")),
            (Error::Interrupted(String::new()), 130, None),
            (Error::OutputClosed, 0, None),
            (Error::Fault, 1, None),
        ] {
            assert_eq!(error.exit_status(), status, "{error:?}");
            let sentence = error.sentence();
            assert_eq!(sentence.is_some(), says.is_some(), "{error:?}");
            assert!(sentence.unwrap_or_default().starts_with(says.unwrap_or_default()), "{error:?}");
        }
    }
}
