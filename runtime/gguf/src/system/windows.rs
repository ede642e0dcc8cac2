//! Windows, by the standard library alone.

use std::fs::{self, File, Metadata};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Opens a link itself, not what it leads to: FILE_FLAG_OPEN_REPARSE_POINT.
const NO_FOLLOW: u32 = 0x0020_0000;

/// Opens a file to read it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Opens a file to read and write it; never one that a link leads to.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().read(true).write(true).custom_flags(NO_FOLLOW).open(path)
}

/// Whether a file still has the name that it had when it was opened. Names are random: no other file comes to have it.
pub(crate) fn has_name(_: &File, path: &Path) -> io::Result<bool> {
    fs::exists(path)
}

/// Fills a buffer from a place in a file.
pub(crate) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let n = file.seek_read(buffer, offset)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (buffer, offset) = (&mut buffer[n..], offset + n as u64);
    }
    Ok(())
}

/// Writes at a place in a file; what is appended later comes where it would have.
pub(crate) fn write_all_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let end = file.stream_position()?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(end)).map(drop)
}

/// The system decides when the disk takes what was written.
pub(crate) fn write_back(_: &File, _: std::ops::Range<u64>) {}

/// Bytes that a file has of its disk.
pub(crate) fn allocated_bytes(found: &Metadata) -> u64 {
    found.len()
}

/// The standard library does not ask: a disk that is full says so when it is.
pub(crate) fn free_bytes(_: &Path) -> io::Result<Option<u64>> {
    Ok(None)
}

/// There is no such limit.
pub(crate) fn max_file_bytes() -> Option<u64> {
    None
}

/// Folders cannot be synced; a name is there once the rename returns.
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Nothing to explain: a file that is mapped cannot be cut here.
pub fn explain_cut_files(_: &'static str) {}
