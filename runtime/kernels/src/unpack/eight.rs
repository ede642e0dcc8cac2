//! Rows at addresses that take few registers.

use super::Panel;
use blocks::Block;
use core::arch::asm;
use std::marker::PhantomData;
use std::ptr::without_provenance;

/// Eight consecutive rows, none of them past the last.
pub(crate) struct Eight<'a, B> {
    first: *const B,
    /// Bytes from the first row to the second, the fourth, the sixth and the eighth: these and their doubles are what an address adds
    /// to that of the first row's block.
    strides: [usize; 4],
    n_blocks: usize,
    blocks: PhantomData<&'a [B]>,
}

impl<'a, B: Block> Panel<'a, B> {
    /// The eight rows from `first` on, which there are.
    #[inline(always)]
    pub(crate) fn eight(&self, first: usize) -> Eight<'a, B> {
        let rows = &self.blocks[first * self.stride..][..7 * self.stride + self.n_blocks];
        let stride = |n| n * self.stride * size_of::<B>();
        let strides = [1, 3, 5, 7].map(|n| opaque(without_provenance::<B>(stride(n))).addr());
        Eight { first: rows.as_ptr(), strides, n_blocks: self.n_blocks, blocks: PhantomData }
    }
}

impl<'a, B> Eight<'a, B> {
    /// Block `b` of each row.
    #[inline(always)]
    pub(crate) fn blocks(&self, b: usize) -> [&'a B; 8] {
        assert!(b < self.n_blocks, "a row has {} blocks", self.n_blocks);
        // The first row's address changes with `b` and is opaque, so that the others' are not kept but added up where they are used.
        // SAFETY: b is below n_blocks, so the block is inside the slice that `first` begins.
        let block = opaque(unsafe { self.first.add(b) });
        let [one, three, five, seven] = self.strides;
        [0, one, 2 * one, three, 4 * one, five, 2 * three, seven]
            // SAFETY: up to seven rows further on is the same block of rows that the slice holds, whose matrix lives as long as 'a.
            .map(|stride| unsafe { &*block.byte_add(stride) })
    }
}

/// The same address, of which the compiler knows no more.
#[inline(always)]
#[expect(clippy::pointers_in_nomem_asm_block, reason = "there is nothing in it that could read")]
fn opaque<T>(mut address: *const T) -> *const T {
    // SAFETY: no instruction at all, only a comment that names the register.
    unsafe { asm!("/* {0} */", inout(reg) address, options(pure, nomem, nostack, preserves_flags)) };
    address
}
