//! A large file, mapped: its numbers are read where they lie.

use crate::Error;
use memmap2::Mmap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A mapped file.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    map: Mmap,
    /// A copy of a part of it, once it was asked for: text must not change while it is borrowed, and a map may.
    copy: OnceLock<Vec<u8>>,
}

impl MappedFile {
    /// Maps a file that has at least one byte.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let found = std::fs::metadata(path).map_err(Error::io(path))?;
        if !found.is_file() {
            return Err(Error::unfit(path, "it is no regular file"));
        }
        if found.len() == 0 {
            return Err(Error::unfit(path, "the file is empty; download it again"));
        }
        let file = File::open(path).map_err(Error::io(path))?;
        // SAFETY: the map is private and read-only, so no one writes through it. That nobody shortens the file while it
        // is mapped is the caller's environment: a program that does so ends this one with SIGBUS and corrupts
        // nothing. Every number read from the map is checked after it was read, and none is read twice; text is
        // taken from a copy.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
        // A hint: the numbers are read once, in long runs. Refusing it costs nothing but time.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::Sequential);
        Ok(Self { path: path.to_owned(), map, copy: OnceLock::new() })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The copy of `part`, which is a part of its bytes, and the same one whenever this is called.
    pub(crate) fn copy_of(&self, part: &[u8]) -> &[u8] {
        self.copy.get_or_init(|| part.to_vec())
    }
}
