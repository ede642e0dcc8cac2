//! Linux, macOS and their kin.

#[cfg(target_os = "linux")]
use rustix::fs::{Advice, fadvise};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit};
use std::fs::{self, File, Metadata};
use std::io;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Opens a file to read it. That of a pipe does not wait for its writer.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::RDONLY)
}

/// Opens a file to read and write it; never one that a link leads to.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::RDWR | OFlags::NOFOLLOW)
}

fn open_with(path: &Path, flags: OFlags) -> io::Result<File> {
    Ok(File::from(rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?))
}

/// Whether a file still has the name that it had when it was opened.
pub(crate) fn has_name(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((open.dev(), open.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Fills a buffer from a place in a file.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// Writes at a place in a file; what is appended later comes where it would have.
pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Has the disk begin to take what was written, and waits for nothing: there is less left to wait for in the end, and fewer
/// pages that other programs cannot have.
pub(crate) fn write_back(file: &File, range: Range<u64>) {
    // Linux begins to write dirty pages of which it is said that nobody needs them, and keeps them until that is done.
    #[cfg(target_os = "linux")]
    let _ = fadvise(file, range.start, NonZeroU64::new(range.end - range.start), Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = (file, range);
}

/// Bytes that a file has of its disk.
pub(crate) fn allocated_bytes(found: &Metadata) -> u64 {
    found.blocks() * 512
}

/// Bytes that a folder's disk has left for this user; `None` where it does not say.
pub(crate) fn free_bytes(folder: &Path) -> io::Result<Option<u64>> {
    let stat = rustix::fs::statvfs(folder)?;
    // A file system without a size of its own (tmpfs without a limit, some network folders) says 0 blocks.
    Ok((stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize)))
}

/// The largest file that this process may write: `ulimit -f`.
pub(crate) fn max_file_bytes() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Has a folder's names survive a power cut. Some file systems cannot; the names are there all the same.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
        _ => Ok(()),
    }
}
