//! macOS, where any read may be one that is not cached (`F_NOCACHE`), and other kin of Unix, where none is.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A handle whose reads are not cached, and what they must be multiples of.
#[cfg(target_vendor = "apple")]
pub(super) fn open_direct(_: &Path, file: &File, _: &Metadata) -> Option<(File, usize)> {
    let file = file.try_clone().ok()?;
    rustix::fs::fcntl_nocache(&file, true).ok()?;
    Some((file, super::PAGE_BYTES))
}

/// There is none.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn open_direct(_: &Path, _: &File, _: &Metadata) -> Option<(File, usize)> {
    None
}

/// Reads at an offset.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// Nothing is dropped.
pub(super) fn drop_behind(_: &File, _: u64, _: usize) {}
