//! Rows at addresses that take few registers.

use super::Panel;
use crate::isa::prefetch_near_all;
use blocks::Block;
use core::arch::asm;
use std::marker::PhantomData;
use std::ptr::without_provenance;

/// Eight rows as far from each other, none of them past the last.
pub(crate) struct Eight<'a, B> {
    first: *const B,
    /// Bytes from the first row to the second, the fourth, the sixth and the eighth: these and their doubles are what an address adds
    /// to that of the first row's block.
    strides: [usize; 4],
    n_blocks: usize,
    /// Where the row begins that comes after the first: only to be fetched ahead.
    next: *const B,
    blocks: PhantomData<&'a [B]>,
}

impl<'a, B: Block> Panel<'a, B> {
    /// Row `turn` and those `apart`, twice `apart` … seven times `apart` further on, which there are: each the `turn`-th of `apart` rows
    /// that lie one after the other, a stream of bytes that lasts.
    #[inline(always)]
    pub(crate) fn eight(&self, turn: usize, apart: usize) -> Eight<'a, B> {
        let rows = &self.blocks[turn * self.stride..][..7 * apart * self.stride + self.n_blocks];
        let stride = |n| n * apart * self.stride * size_of::<B>();
        let strides = [1, 3, 5, 7].map(|n| opaque(without_provenance::<B>(stride(n))).addr());
        let next = if turn + 1 < apart { turn + 1 } else { 8 * apart };
        Eight {
            first: rows.as_ptr(),
            strides,
            n_blocks: self.n_blocks,
            next: self.blocks.as_ptr().wrapping_add(next * self.stride),
            blocks: PhantomData,
        }
    }
}

/// Blocks that a row is fetched ahead. Of what two threads' loops read from memory (Xeon, model 207, AVX-512) Q8_0 reached 0.84 with 7, 0.93
/// with 15 and 22, and 0.94 with 30, when all eight rows' lines were fetched at a time; Q4_0, as here, 0.86, 0.83 and 0.83 with 28, 42 and 56.
const AHEAD_BLOCKS: usize = 28;

impl<'a, B> Eight<'a, B> {
    /// What comes [`AHEAD_BLOCKS`] after block `b`, of `n` blocks of one row after the other.
    #[inline(always)]
    pub(crate) fn ahead(&self, b: usize, n: usize) -> RowAhead {
        let at = b + AHEAD_BLOCKS;
        let block = match at.checked_sub(self.n_blocks) {
            None => self.first.wrapping_add(at),
            Some(past) => self.next.wrapping_add(past),
        };
        let address = block.cast();
        RowAhead { address, stride: self.strides[0], n_bytes: n * size_of::<B>() }
    }

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

/// Where the next row's lines are to be fetched.
pub(crate) struct RowAhead {
    address: *const u8,
    stride: usize,
    n_bytes: usize,
}

impl RowAhead {
    /// Fetches a row's; those of the next are the next.
    #[inline(always)]
    pub(crate) fn fetch(&mut self) {
        prefetch_near_all(self.address, self.n_bytes);
        self.address = self.address.wrapping_add(self.stride);
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
