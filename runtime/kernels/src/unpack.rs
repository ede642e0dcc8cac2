//! What each format adds: how its blocks become the integers, scales and minimums that the dot shapes of [`crate::dot`]
//! multiply. One module per format, its levels as siblings of equal shape below it; `eight` has addresses of rows, for x86-64.

#[cfg(target_arch = "x86_64")]
mod eight;
mod float;
mod iq4_nl;
mod iq4_xs;
mod mxfp4;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod tq1_0;
mod tq2_0;

use crate::activations::{Activations, Packing, Part};
use crate::isa::{Isa, LINE, prefetch, prefetch_near};
use blocks::Block;
use std::marker::PhantomData;
use std::ops::Range;

/// Rows that are multiplied at a time: as many as a tile holds.
pub(crate) const PANEL_ROWS: usize = 32;

/// Results of a panel, a row of them for each token.
pub(crate) type Results = [[f32; PANEL_ROWS]];

/// A block with kernels.
pub(crate) trait Weights: Block {
    /// The packing of activations that its kernels take.
    const PACKING: Packing;

    /// Adds the products of a panel's rows with a part of `x` to `results`, one row a token: what the columns before gave,
    /// or zeros. Results beyond the panel's rows may be written too, and mean nothing.
    fn multiply(isa: Isa, panel: Panel<'_, Self>, x: &Activations, part: &Part, results: &mut Results);

    /// The sibling that does so at a level.
    fn sibling(isa: Isa) -> &'static str;
}

/// Gives a block its kernels: its type, the packing of activations that they take, their name in the sibling modules
/// and how they take the packing; `and avx512` where that level has a sibling, as [`dispatch!`](crate::isa::dispatch).
macro_rules! weights {
    ($block:ty, $packing:ident, $multiply:ident($take:ident) $($level:tt)*) => {
        impl $crate::unpack::Weights for $block {
            const PACKING: $crate::activations::Packing = $crate::activations::Packing::$packing;

            fn multiply(
                isa: $crate::Isa,
                panel: Panel<'_, Self>,
                x: &$crate::activations::Activations,
                part: &$crate::activations::Part,
                results: &mut Results,
            ) {
                $crate::isa::dispatch!(isa, $multiply(panel, x.$take(part), results) $($level)*);
            }

            fn sibling(isa: $crate::Isa) -> &'static str {
                $crate::isa::sibling!(isa, Self::PACKING, $($level)*)
            }
        }
    };
}
use weights;

/// Consecutive columns of up to [`PANEL_ROWS`] consecutive rows of a matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel<'a, B> {
    /// From the first row's first block of these columns to the end of the matrix.
    blocks: &'a [B],
    /// Blocks of a row, and those of these columns.
    stride: usize,
    n_blocks: usize,
    n_rows: usize,
    /// Where the panel begins that comes next: only to be fetched ahead.
    next: *const B,
}

impl<'a, B: Block> Panel<'a, B> {
    /// Panel `index` of a matrix with `stride` blocks a row, of which it takes `blocks`; after it comes the panel `next`, from a
    /// block of its rows on.
    pub(crate) fn new(
        matrix: &'a [B],
        stride: usize,
        index: usize,
        blocks: Range<usize>,
        next: (usize, usize),
    ) -> Self {
        let rows = &matrix[index * PANEL_ROWS * stride..];
        let (next, first) = next;
        Self {
            blocks: &rows[blocks.start..],
            stride,
            n_blocks: blocks.len(),
            n_rows: PANEL_ROWS.min(rows.len() / stride),
            next: matrix.as_ptr().wrapping_add(next * PANEL_ROWS * stride + first),
        }
    }

    /// How many rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// `N` rows from `first` on, as [`rows`](Self::rows), for kernels that take a block of each at a time.
    #[inline(always)]
    pub(crate) fn group<const N: usize>(&self, first: usize) -> Group<'a, B, N> {
        Group { rows: self.rows(first).map(<[B]>::as_ptr), n_blocks: self.n_blocks, blocks: PhantomData }
    }

    /// The `n` rows from `first` on, which may be those of the next panel, as what is fetched while others are used. For panels of
    /// whole rows. They are fetched from `PLACES` at a time: a prefetcher in hardware follows a stream only within its page and not far.
    /// Four or eight are best: of the bandwidth of two cores (Xeon, model 167, Q4_0, AVX-512) one stream of prefetches reached 0.71, two
    /// 0.84, four and eight 0.92, sixteen 0.75, none at all 0.52; in another hour, four and eight, Q8_0 0.87 and 0.90, Q6_K 0.77 and
    /// 0.79, but K-quants at AVX2, whose rows come by eights, 0.72 and 0.61; a prefetch for every second line only, 0.55. On a Zen 3
    /// two, four and eight are the same.
    #[inline(always)]
    pub(crate) fn ahead<const PLACES: usize>(&self, first: usize, n: usize) -> Ahead<PLACES> {
        Ahead {
            address: self.blocks.as_ptr().wrapping_add(first * self.stride).cast(),
            part: n * self.stride * size_of::<B>() / PLACES,
            used: 0,
            fetched: 0,
        }
    }

    /// Fetches some blocks of every row, or of the next panel's where they are past the end: the `i`-th of `n` parts, so that
    /// all are there when a tile's work is done. What is fetched a panel ahead is gone again, as a tile's tokens go through
    /// the second cache (Zen 3, weights from memory, 126 tokens: Q8_0 by one core 45 · 10⁹ multiply-adds a second without, and 56).
    #[inline(always)]
    pub(crate) fn fetch(&self, blocks: Range<usize>, i: usize, n: usize) {
        let first = match blocks.start.checked_sub(self.n_blocks) {
            None => self.blocks.as_ptr().wrapping_add(blocks.start),
            Some(past) => self.next.wrapping_add(past),
        };
        for row in i * PANEL_ROWS / n..(i + 1) * PANEL_ROWS / n {
            let address: *const u8 = first.wrapping_add(row * self.stride).cast();
            let n_bytes = blocks.len() * size_of::<B>();
            for at in (0..n_bytes).step_by(LINE) {
                prefetch(address.wrapping_add(at));
            }
            prefetch(address.wrapping_add(n_bytes - 1));
        }
    }

    /// `N` rows from `first` on. Past the last row stands the last row again: a kernel needs no narrower sibling for
    /// the end of a matrix, and what it computes there is dropped.
    #[inline(always)]
    pub(crate) fn rows<const N: usize>(&self, first: usize) -> [&'a [B]; N] {
        std::array::from_fn(|i| {
            let row = (first + i).min(self.n_rows - 1);
            &self.blocks[row * self.stride..][..self.n_blocks]
        })
    }
}

/// Rows that are multiplied together, each in its lane.
pub(crate) struct Group<'a, B, const N: usize> {
    /// Where each begins.
    rows: [*const B; N],
    n_blocks: usize,
    blocks: PhantomData<&'a [B]>,
}

impl<'a, B, const N: usize> Group<'a, B, N> {
    /// Block `b` of each row.
    #[inline(always)]
    pub(crate) fn blocks(&self, b: usize) -> [&'a B; N] {
        assert!(b < self.n_blocks, "a row has {} blocks", self.n_blocks);
        // SAFETY: each of the pointers is that of a slice of n_blocks, which lives as long as the panel's matrix. One
        // check for all rows: N of them are a quarter of what a block's products take.
        self.rows.map(|row| unsafe { &*row.add(b) })
    }
}

/// Rows that come next, fetched into the caches as fast as those of now are used.
pub(crate) struct Ahead<const PLACES: usize = 4> {
    address: *const u8,
    /// Bytes from one of the places to the next.
    part: usize,
    /// Bytes of a place that should be there by now, and those that are.
    used: usize,
    fetched: usize,
}

impl<const PLACES: usize> Ahead<PLACES> {
    /// Fetches as much as was used since the last call.
    #[inline(always)]
    pub(crate) fn used(&mut self, n_bytes: usize) {
        self.used += n_bytes.div_ceil(PLACES);
        while self.fetched < self.used {
            for part in 0..PLACES {
                prefetch_near(self.address.wrapping_add(part * self.part + self.fetched));
            }
            self.fetched += LINE;
        }
    }
}
