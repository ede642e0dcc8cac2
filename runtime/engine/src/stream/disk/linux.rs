//! Linux: `O_DIRECT`, and an advice to drop pages.

use rustix::fs::{Advice, AtFlags, OFlags, StatxFlags, fadvise, statx};
use std::fs::{File, Metadata};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens a file past the page cache, and what its reads must be multiples of. `None`: that cannot be had, or the name
/// is another file's by now.
pub(super) fn open_direct(path: &Path, _: &File, same: &Metadata) -> Option<(File, usize)> {
    let flags = OFlags::DIRECT.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if (metadata.dev(), metadata.ino()) != (same.dev(), same.ino()) {
        return None;
    }
    // Linux 6.1 tells; before that a page is safe.
    let told = statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok();
    let told = told.filter(|told| told.stx_mask & StatxFlags::DIOALIGN.bits() != 0);
    let alignment = told.map_or(super::PAGE_BYTES, |told| {
        told.stx_dio_mem_align.max(told.stx_dio_offset_align) as usize // 0: no direct reads
    });
    (alignment.is_power_of_two() && alignment <= super::PAGE_BYTES).then_some((file, alignment))
}

/// Reads at an offset, past the page cache or not as the file was opened.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// Drops what a read has left in the page cache. It is an advice: where it is refused, nothing is lost but memory.
pub(super) fn drop_behind(file: &File, offset: u64, n: usize) {
    let _ = fadvise(file, offset, NonZeroU64::new(n as u64), Advice::DontNeed);
}
