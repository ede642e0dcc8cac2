//! Windows: `FILE_FLAG_NO_BUFFERING`. Reads of one handle go one after the other there.

use std::fs::{File, Metadata};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

const NO_BUFFERING: u32 = 0x2000_0000;

/// Opens a file past the cache, and what its reads must be multiples of. `None`: that cannot be had, or the name is
/// another file's by now, as far as length and time tell.
pub(super) fn open_direct(path: &Path, _: &File, same: &Metadata) -> Option<(File, usize)> {
    let file = File::options().read(true).custom_flags(NO_BUFFERING).open(path).ok()?;
    let is_same = super::stamp(&file.metadata().ok()?) == super::stamp(same);
    is_same.then_some((file, super::PAGE_BYTES))
}

/// Reads at an offset, past the cache or not as the file was opened.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    match file.seek_read(buffer, offset) {
        // ERROR_HANDLE_EOF: there is nothing behind the end.
        Err(error) if error.raw_os_error() == Some(38) => Ok(0),
        result => result,
    }
}

/// Nothing is dropped.
pub(super) fn drop_behind(_: &File, _: u64, _: usize) {}
