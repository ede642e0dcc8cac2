//! One slice, written by several threads in places that do not overlap.

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice whose parts are handed to different threads.
#[derive(Debug)]
pub(crate) struct SharedSlice<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a `&mut [T]`; whoever takes parts of it on several threads promises in `slice` that they do
// not overlap, and then each is a `&mut [T]` of its own, which may be sent where T may.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}
// SAFETY: as a `&mut [T]`, which may be sent where T may.
unsafe impl<T: Send> Send for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// A part of the slice.
    ///
    /// # Panics
    /// If the range is not inside it.
    ///
    /// # Safety
    /// While the part lives, no other part that overlaps it does, on any thread.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that parts do not overlap")]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: inside the slice by the assertion; alone by the caller's promise; alive by the borrow.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
