//! The system's allocator, counting: how often memory was asked for, how much is in use, and the most that ever was.
//!
//! A binary that wants the figures installs it: `#[global_allocator] static ALLOCATOR: Counting = Counting;`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts for the whole process.
#[derive(Debug)]
pub struct Counting;

static N_ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// How often memory was asked for.
pub fn n_allocations() -> usize {
    N_ALLOCATIONS.load(Relaxed)
}

/// Bytes in use.
pub fn bytes_in_use() -> usize {
    IN_USE.load(Relaxed)
}

/// The most bytes that were in use since [`reset_peak`].
pub fn peak_bytes() -> usize {
    PEAK.load(Relaxed)
}

/// Forgets the peak.
pub fn reset_peak() {
    PEAK.store(bytes_in_use(), Relaxed);
}

fn add(n_bytes: usize) {
    N_ALLOCATIONS.fetch_add(1, Relaxed);
    let in_use = IN_USE.fetch_add(n_bytes, Relaxed) + n_bytes;
    PEAK.fetch_max(in_use, Relaxed);
}

// SAFETY: every call is handed to the system's allocator unchanged; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as for `alloc`; the pointer came from the system's allocator, because all of ours do.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, n_bytes: usize) -> *mut u8 {
        // The old and the new are in use at the same time where the allocator moves it.
        add(n_bytes);
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as for `dealloc`.
        unsafe { System.realloc(pointer, layout, n_bytes) }
    }
}
