//! Reading a file past the page cache, or as if.
//!
//! What is streamed is read in a circle, and a cache that drops what was used longest ago drops each page just before
//! it is needed: it saves nothing, and inside a memory limit it costs more than the disk does. So reads go straight into
//! our buffers, as each system has it. Where a file system refuses that (tmpfs and some that compress or encrypt do), reads
//! are ordinary ones, and what they left in the cache is dropped behind them.

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "disk/linux.rs"]
mod system;
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
#[path = "disk/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "disk/windows.rs"]
mod system;

use std::fmt::Debug;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// Pages are a multiple of this everywhere, and it is a multiple of every disk's sector.
pub(super) const PAGE_BYTES: usize = 4096;

/// What blocks are read from; tests have one that fails.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Offsets, lengths and addresses of reads are multiples of this: a power of two up to [`PAGE_BYTES`].
    fn alignment(&self) -> usize;

    /// Reads at an offset; how much. Less than asked for is no error, 0 is the end.
    ///
    /// # Errors
    /// As the system has them.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Whether nobody has written to it since it was opened.
    fn is_unchanged(&self) -> bool;
}

/// Bytes that a buffer must have to read `len` bytes from any offset.
pub(super) fn buffer_bytes(disk: &dyn Disk, len: usize) -> usize {
    (len + 2 * (disk.alignment() - 1)).next_multiple_of(PAGE_BYTES)
}

/// Reads `len` bytes at `offset` into a buffer that begins at a page and has [`buffer_bytes`]; where in it they are.
///
/// # Errors
/// Those of the disk; [`ErrorKind::UnexpectedEof`] if it ends before.
pub(super) fn read(disk: &dyn Disk, buffer: &mut [u8], offset: u64, len: usize) -> io::Result<Range<usize>> {
    let alignment = disk.alignment();
    let lead = (offset % alignment as u64) as usize;
    let wanted = lead + len;
    let mut done = 0;
    while done < wanted {
        let place = &mut buffer[done..wanted.next_multiple_of(alignment)];
        let n = match disk.read_at(place, offset - lead as u64 + done as u64) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            n => n?,
        };
        // The rest of a short read begins at a multiple, too; one that brings no multiple is the file's end.
        let next = if done + n < wanted { (done + n) / alignment * alignment } else { done + n };
        if next <= done {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        done = next;
    }
    Ok(lead..wanted)
}

/// A file.
#[derive(Debug)]
pub(super) struct DiskFile {
    /// Past the page cache.
    direct: Option<File>,
    /// Set when a read showed that it does not work: some file systems let it be opened only.
    is_refused: AtomicBool,
    buffered: File,
    alignment: usize,
    stamp: Stamp,
}

/// What changes when a file is written to.
type Stamp = (u64, Option<SystemTime>);

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.len(), metadata.modified().ok())
}

impl DiskFile {
    /// The file that was mapped, whatever has its name now.
    ///
    /// # Errors
    /// If the system has no more handles.
    pub(super) fn open(file: &gguf::File) -> io::Result<Self> {
        let buffered = file.handle().try_clone()?;
        let metadata = buffered.metadata()?;
        let direct = system::open_direct(file.path(), &buffered, &metadata);
        let (direct, alignment) =
            direct.map_or((None, PAGE_BYTES), |(file, alignment)| (Some(file), alignment));
        Ok(Self { direct, is_refused: AtomicBool::new(false), buffered, alignment, stamp: stamp(&metadata) })
    }
}

#[cfg(test)]
impl DiskFile {
    /// As if a direct read had been refused.
    pub(super) fn refused(self) -> Self {
        self.is_refused.store(true, Ordering::Relaxed);
        self
    }
}

impl Disk for DiskFile {
    fn alignment(&self) -> usize {
        self.alignment
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(direct) = self.direct.as_ref().filter(|_| !self.is_refused.load(Ordering::Relaxed)) {
            match system::read_at(direct, buffer, offset) {
                Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                    self.is_refused.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        let n = system::read_at(&self.buffered, buffer, offset)?;
        system::drop_behind(&self.buffered, offset, n);
        Ok(n)
    }

    fn is_unchanged(&self) -> bool {
        self.buffered.metadata().is_ok_and(|metadata| stamp(&metadata) == self.stamp)
    }
}
