//! What can be wrong with a file, as sentences.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A file that cannot be read or written, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What could not be done: "cannot be opened".
        action: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// There is something, but not a file.
    #[error("{}: this is {what}, not a file: give the name of the GGUF file itself", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// "a directory".
        what: &'static str,
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
    /// The output cannot be made, whatever the disk says.
    #[error("{}: cannot be written: {problem}", path.display())]
    Unwritable {
        /// The file that was to be made.
        path: PathBuf,
        /// Why not, and what to do.
        problem: String,
    },
    /// The disk has no room for the output. Nothing was written.
    #[error(
        "{}: needs {}, but its disk has {} free: free some space or choose another folder",
        path.display(), Size(*needed_bytes), Size(*free_bytes)
    )]
    NoSpace {
        /// The file that was to be made.
        path: PathBuf,
        /// What it needs.
        needed_bytes: u64,
        /// What there is.
        free_bytes: u64,
    },
    /// The disk filled up while the output was being written.
    #[error(
        "{}: the disk is full after {}: free some space or choose another folder",
        path.display(), Size(*written_bytes)
    )]
    DiskFull {
        /// The file that was to be made.
        path: PathBuf,
        /// How far it came.
        written_bytes: u64,
    },
}

impl Error {
    /// For `map_err`: the system's reason, with the file and what was tried.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }

    /// The parser's finding, in this file.
    pub(crate) fn malformed(path: &Path, found: Problem) -> Self {
        let Problem { offset, field, problem } = found;
        Self::Malformed { path: path.to_owned(), offset, field, problem }
    }
}

/// A metadata key that is absent or of the wrong type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It must be there.
    #[error("metadata key `{0}` is missing")]
    Missing(String),
    /// It holds something else.
    #[error("metadata key `{key}`: found {found}, expected {expected}")]
    Type {
        /// The key.
        key: String,
        /// "string", "array of f32", "a negative integer".
        found: &'static str,
        /// "an unsigned integer".
        expected: &'static str,
    },
}

/// What the parser found, before a file's name is put to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) offset: u64,
    pub(crate) field: String,
    pub(crate) problem: String,
}

impl Problem {
    pub(crate) fn at(offset: u64, field: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self { offset, field: field.to_string(), problem: problem.to_string() }
    }
}

/// A text from a file as a message may show it: control characters escaped, because a terminal obeys them, and cut,
/// because a name in a file may be as long as the file.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_CHARS: usize = 80;
        let mut chars = self.0.chars();
        chars.by_ref().take(SHOWN_CHARS).try_for_each(|c| write!(f, "{}", c.escape_debug()))?;
        if chars.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

/// Bytes as people say them.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        let (unit, name) = match bytes {
            0x4000_0000.. => (0x4000_0000, "GiB"),
            0x10_0000.. => (0x10_0000, "MiB"),
            0x400.. => (0x400, "KiB"),
            _ => return write!(f, "{bytes} bytes"),
        };
        write!(f, "{:.2} {name}", bytes as f64 / f64::from(unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_command_a_terminal() {
        let (fits, too_long) = ("é".repeat(80), "é".repeat(81));
        for (name, text) in [
            ("a\x1b[2Jb\n\u{202e}", "a\\u{1b}[2Jb\\n\\u{202e}"),
            (&fits, &fits),
            (&too_long, &format!("{fits}…")),
        ] {
            assert_eq!(Shown(name).to_string(), text);
        }
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.50 KiB"), (7 << 29, "3.50 GiB")]
        {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
