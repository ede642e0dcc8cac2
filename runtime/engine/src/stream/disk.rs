//! Reading a file past the page cache, or as if.
//!
//! What is streamed is read in a circle, and a cache that drops what was used longest ago drops each page just before
//! it is needed: it saves nothing, and inside a memory limit it costs more than the disk does. So reads go straight into
//! our buffers: `O_DIRECT` on Linux, `F_NOCACHE` on macOS. Where a file system refuses that (tmpfs and some that
//! compress or encrypt do), reads are ordinary ones, and what they left in the cache is dropped behind them.

use std::fmt::Debug;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
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
        let direct = open_direct(file.path(), &buffered, &metadata);
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
            match direct.read_at(buffer, offset) {
                Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                    self.is_refused.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        let n = self.buffered.read_at(buffer, offset)?;
        drop_behind(&self.buffered, offset, n);
        Ok(n)
    }

    fn is_unchanged(&self) -> bool {
        self.buffered.metadata().is_ok_and(|metadata| stamp(&metadata) == self.stamp)
    }
}

/// Opens a file past the page cache, and what its reads must be multiples of. `None`: that cannot be had, or the name
/// is another file's by now.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_direct(path: &Path, _: &File, same: &Metadata) -> Option<(File, usize)> {
    use rustix::fs::{AtFlags, OFlags, StatxFlags, statx};
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    let flags = OFlags::DIRECT.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if (metadata.dev(), metadata.ino()) != (same.dev(), same.ino()) {
        return None;
    }
    // Linux 6.1 tells; before that a page is safe.
    let told = statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok();
    let told = told.filter(|told| told.stx_mask & StatxFlags::DIOALIGN.bits() != 0);
    let alignment = told.map_or(PAGE_BYTES, |told| {
        told.stx_dio_mem_align.max(told.stx_dio_offset_align) as usize // 0: no direct reads
    });
    (alignment.is_power_of_two() && alignment <= PAGE_BYTES).then_some((file, alignment))
}

/// Likewise; here any read may be one that is not cached.
#[cfg(target_vendor = "apple")]
fn open_direct(_: &Path, file: &File, _: &Metadata) -> Option<(File, usize)> {
    let file = file.try_clone().ok()?;
    rustix::fs::fcntl_nocache(&file, true).ok()?;
    Some((file, PAGE_BYTES))
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn open_direct(_: &Path, _: &File, _: &Metadata) -> Option<(File, usize)> {
    None
}

/// Drops what a read has left in the page cache. It is an advice: where it is refused, nothing is lost but memory.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn drop_behind(file: &File, offset: u64, n: usize) {
    let _ =
        rustix::fs::fadvise(file, offset, std::num::NonZeroU64::new(n as u64), rustix::fs::Advice::DontNeed);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn drop_behind(_: &File, _: u64, _: usize) {}
