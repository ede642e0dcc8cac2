//! A file that appears whole or not at all.

use crate::Error;
use std::path::Path;

/// An output file under a temporary name in its own folder. [`finish`](Self::finish) flushes it to the disk and gives
/// it its name; dropped before that, it is removed.
#[derive(Debug)]
pub struct Output {}

impl Output {
    /// Starts a file that will be called `path`. Fails at once where the folder cannot be written or where fewer than
    /// `n_bytes` are free.
    pub fn create(_path: impl AsRef<Path>, _n_bytes: u64) -> Result<Self, Error> {
        todo!()
    }

    /// Appends.
    pub fn write(&mut self, _bytes: &[u8]) -> Result<(), Error> {
        todo!()
    }

    /// fsync, then the final name.
    pub fn finish(self) -> Result<(), Error> {
        todo!()
    }
}
