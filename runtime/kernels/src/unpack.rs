//! What each format adds: how its blocks become the integers, scales and minimums that the dot shapes of [`crate::dot`]
//! multiply. One module per format, its levels as siblings of equal shape below it.

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

use crate::activations::{Activations, Packing};
use crate::isa::Isa;
use blocks::Block;
use std::ops::Range;

/// Rows that are multiplied at a time: as many as a tile holds.
pub(crate) const PANEL_ROWS: usize = 32;

/// Results of a panel, a row of them for each token.
pub(crate) type Results = [[f32; PANEL_ROWS]];

/// A block with kernels.
pub(crate) trait Weights: Block {
    /// The packing of activations that its kernels take.
    const PACKING: Packing;

    /// Products of a panel's rows with `tokens` of `x`, each written to its place in `results` (one row a token).
    /// Columns beyond the panel's rows may be written too, and mean nothing.
    fn multiply(
        isa: Isa,
        panel: Panel<'_, Self>,
        x: &Activations,
        tokens: Range<usize>,
        results: &mut Results,
    );
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
                tokens: ::std::ops::Range<usize>,
                results: &mut Results,
            ) {
                $crate::isa::dispatch!(isa, $multiply(panel, x.$take(tokens), results) $($level)*);
            }
        }
    };
}
use weights;

/// Block `b` of each row.
#[inline(always)]
pub(crate) fn at<'a, B, const N: usize>(rows: &[&'a [B]; N], b: usize) -> [&'a B; N] {
    std::array::from_fn(|row| &rows[row][b])
}

/// Up to [`PANEL_ROWS`] consecutive rows of a matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel<'a, B> {
    /// From the first row to the end of the matrix: kernels prefetch what comes after the panel.
    blocks: &'a [B],
    n_blocks: usize,
    n_rows: usize,
}

impl<'a, B: Block> Panel<'a, B> {
    /// The rows from `first` on, of a matrix with `n_blocks` a row.
    pub(crate) fn new(matrix: &'a [B], n_blocks: usize, first: usize) -> Self {
        let blocks = &matrix[first * n_blocks..];
        Self { blocks, n_blocks, n_rows: PANEL_ROWS.min(blocks.len() / n_blocks) }
    }

    /// How many rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Where a row begins, or would begin, for a prefetch.
    pub(crate) fn address(&self, row: usize) -> *const u8 {
        self.blocks.as_ptr().wrapping_add(row * self.n_blocks).cast()
    }

    /// `N` rows from `first` on. Past the last row stands the last row again: a kernel needs no narrower sibling for
    /// the end of a matrix, and what it computes there is dropped.
    #[inline]
    pub(crate) fn rows<const N: usize>(&self, first: usize) -> [&'a [B]; N] {
        std::array::from_fn(|i| {
            let row = (first + i).min(self.n_rows - 1);
            &self.blocks[row * self.n_blocks..][..self.n_blocks]
        })
    }
}
