//! Weights times activations: one definition of the sum for every batch, ISA and number of threads.

#[cfg(test)]
mod tests;

use crate::activations::{Packing, Part, RUN};
use crate::team::SharedSlice;
use crate::unpack::{PANEL_ROWS, Panel, Results, Weights};
use crate::{Activations, Isa, Team, isa};
use blocks::{TensorType, with_block};
use std::ops::Range;

/// Consecutive rows of a weight matrix, as they lie in the file (or wherever they were read to).
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The type of the blocks.
    pub ty: TensorType,
    /// Weights in a row: whole blocks.
    pub n_cols: usize,
    /// Whole rows.
    pub bytes: &'a [u8],
}

impl Rows<'_> {
    /// Bytes of a row.
    ///
    /// # Panics
    /// If a row is no whole number of blocks.
    fn row_bytes(&self) -> usize {
        let row_bytes = self.ty.row_bytes(self.n_cols as u64).and_then(|n| usize::try_from(n).ok());
        row_bytes.unwrap_or_else(|| panic!("rows of {} weights of type {}", self.n_cols, self.ty))
    }

    /// How many rows.
    ///
    /// # Panics
    /// If a row is no whole number of blocks.
    pub fn n_rows(&self) -> usize {
        self.bytes.len().checked_div(self.row_bytes()).unwrap_or(0)
    }

    /// Decodes one row to floats: a token's embedding.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not `n_cols` long.
    pub fn decode(&self, row: usize, out: &mut [f32]) {
        let row_bytes = self.row_bytes();
        let bytes = &self.bytes[row * row_bytes..][..row_bytes];
        with_block!(
            self.ty,
            B => blocks::decode(blocks::from_bytes::<B>(bytes), out),
            else panic!("llamita cannot decode {}", self.ty)
        );
    }
}

/// The level whose code multiplies weights of a type at a level: itself, or one that it contains. `None`: the type has
/// no kernels.
pub fn kernel(ty: TensorType, isa: Isa) -> Option<&'static str> {
    with_block!(ty, B => Some(B::sibling(isa)), else None)
}

/// A product to be computed: row `r` of `weights` with token `t` gives `out[t * stride + first + r]`.
#[derive(Debug)]
pub struct Product<'a> {
    /// Rows of weights.
    pub weights: Rows<'a>,
    /// Results, `stride` floats a token.
    pub out: &'a mut [f32],
    /// Floats from one token's results to the next's.
    pub stride: usize,
    /// Where the first row's result goes.
    pub first: usize,
}

/// Tokens of a pass: a panel is unpacked often enough to matter only below that. A multiple of the three, four or six that kernels
/// take at once: 512 tokens go in 86 sixes that way, and by passes of 128 in 88.
const PASS_TOKENS: usize = 132;

/// Bytes of a pass's activations that panels take at a time, some columns after others: they stay in a second cache of four cores
/// while [`GROUP_PANELS`] take their turn. Floats are taken by whole rows, whose chains end there. A core of a Zen 3 is as fast with
/// whole rows. With nothing behind 1 MiB of cache, as in a Raspberry Pi 4, 128 rows of 11 008 and 128 tokens, whose activations are
/// 38 500 lines, read 236 600 lines from memory where they went by whole rows, and 135 900 (Q4_K at AVX2, the whole program,
/// counted by cachegrind; no board was timed).
const PART_BYTES: usize = 128 << 10;

/// Panels that take turns, whose results are at hand: 16 KiB each.
const GROUP_PANELS: usize = 4;

/// Tokens of a pass and panels that take turns at AVX-512, whose processors have second caches of a core's own of 1 MiB and more. With
/// AMX unpacking would be a third of the time, and fetching activations as much again (Q4_K from the caches: 128 tokens and four panels
/// 300 · 10⁹ multiply-adds a second, 512 and eight 400); without, it is a twentieth (512 tokens of eight layers of 7B: Q4_0 234 tokens a
/// second, with 264 and four 247, with 512 and eight 254). Sixteen tokens are a tile.
const WIDE_TOKENS: usize = 512;
const WIDE_PANELS: usize = 8;

/// From so many tokens on results are stored past the caches: they would push out what is needed next, and a line that is in no cache is
/// fetched before it is written (Xeon, model 207, AVX-512, 512 tokens of eight layers of 7B: Q4_0 220 -> 227 tokens a second).
const PAST_CACHES_TOKENS: usize = 64;

/// Fewer tokens take whole rows, in the order of the file, for then it is the weights that have to be fetched.
const PART_TOKENS: usize = 8;

/// Consecutive panels that a thread takes at most: each fetches the next ahead, and the first is fetched by nobody.
const CHUNK_PANELS: usize = 16;

/// Products whose rows are handed out from one counter. More than that are computed in several rounds.
const ROUND_PRODUCTS: usize = 8;

/// Computes products that share their activations (q, k and v; gate and up), all rows handed out from one counter.
///
/// # Panics
/// If shapes do not agree, or `x` was not packed for a product's type.
pub fn matmul(team: &Team, x: &Activations, products: &mut [Product<'_>]) {
    for products in products.chunks_mut(ROUND_PRODUCTS) {
        let mut tasks = [const { None }; ROUND_PRODUCTS];
        let mut n_panels = 0;
        for (task, product) in tasks.iter_mut().zip(products) {
            let new = Task::new(product, x);
            n_panels += new.n_panels;
            *task = Some(new);
        }
        let pass_tokens = if team.isa().n_floats() == 16 { WIDE_TOKENS } else { PASS_TOKENS };
        let n_passes = x.n_tokens().div_ceil(pass_tokens);
        let n = n_panels * n_passes;
        team.for_each(n, CHUNK_PANELS, |range| {
            let mut at = range.start;
            while at < range.end {
                let (pass, mut panel) = (at / n_panels, at % n_panels);
                let tokens = pass * pass_tokens..x.n_tokens().min((pass + 1) * pass_tokens);
                let group_panels = if tokens.len() > PASS_TOKENS { WIDE_PANELS } else { GROUP_PANELS };
                for task in tasks.iter().flatten() {
                    if panel < task.n_panels {
                        let n = group_panels.min(task.n_panels - panel).min(range.end - at);
                        task.run(&Share { isa: team.isa(), x, panels: panel..panel + n, tokens });
                        at += n;
                        break;
                    }
                    panel -= task.n_panels;
                }
            }
        });
    }
}

/// What a thread computes of a product at a time.
struct Share<'a> {
    isa: Isa,
    x: &'a Activations,
    /// Up to [`GROUP_PANELS`], or [`WIDE_PANELS`] with more than [`PASS_TOKENS`].
    panels: Range<usize>,
    /// Up to [`PASS_TOKENS`] or [`WIDE_TOKENS`].
    tokens: Range<usize>,
}

/// A product whose results several threads write, each its own rows'.
struct Task<'a> {
    weights: Rows<'a>,
    out: SharedSlice<'a, f32>,
    stride: usize,
    first: usize,
    n_rows: usize,
    n_panels: usize,
}

impl<'a> Task<'a> {
    fn new(product: &'a mut Product<'_>, x: &Activations) -> Self {
        let Product { weights, ref mut out, stride, first } = *product;
        let (ty, n_cols, n_rows) = (weights.ty, weights.n_cols, weights.n_rows());
        assert_eq!(n_cols, x.n_cols(), "{ty} weights with activations of another length");
        assert_eq!(weights.bytes.len(), n_rows * weights.row_bytes(), "{ty} weights: whole rows of {n_cols}");
        assert!(first + n_rows <= stride, "{n_rows} results from {first} on, in rows of {stride}");
        assert!(
            x.n_tokens().checked_mul(stride).is_some_and(|n| out.len() >= n),
            "results for {} tokens in rows of {stride}",
            x.n_tokens()
        );
        Self {
            weights,
            out: SharedSlice::new(out),
            stride,
            first,
            n_rows,
            n_panels: n_rows.div_ceil(PANEL_ROWS),
        }
    }

    fn run(&self, share: &Share<'_>) {
        match share.tokens.len() {
            ..PART_TOKENS => self.run_with::<{ GROUP_PANELS * PART_TOKENS }>(share),
            PART_TOKENS..=PASS_TOKENS => self.run_with::<{ GROUP_PANELS * PASS_TOKENS }>(share),
            _ => self.run_with::<{ WIDE_PANELS * WIDE_TOKENS }>(share),
        }
    }

    /// With so many rows of results on the stack, where nothing is shared or allocated. A frame of its own: few tokens should not pay
    /// for the pages and the zeros of many.
    #[inline(never)]
    fn run_with<const N: usize>(&self, share: &Share<'_>) {
        self.multiply(share, &mut [[0.0; PANEL_ROWS]; N]);
    }

    fn multiply(&self, share: &Share<'_>, results: &mut Results) {
        with_block!(
            self.weights.ty,
            B => self.add_products::<B>(share, results),
            else panic!("there are no kernels for {}", self.weights.ty)
        );
        let Share { panels, tokens, .. } = share;
        let past_caches = tokens.len() >= PAST_CACHES_TOKENS;
        // A token's results one after the other: memory takes them better than those of a panel, each a row of the output from the next
        // (Xeon, model 207, AVX-512, 512 tokens of eight layers of 7B: Q4_0 206 -> 222 tokens a second, Q4_K_M 215 -> 238).
        for (i, token) in tokens.clone().enumerate() {
            for (panel, results) in panels.clone().zip(results.chunks(tokens.len())) {
                let (first_row, results) = (panel * PANEL_ROWS, &results[i]);
                let n_rows = PANEL_ROWS.min(self.n_rows - first_row);
                let start = token * self.stride + self.first + first_row;
                // SAFETY: a place of the results belongs to one product (their `out`s are different `&mut`s), one token and
                // one row, so to one panel and pass, and for_each hands out each of those once.
                let out = unsafe { self.out.slice(start..start + n_rows) };
                match out.first_chunk_mut::<PANEL_ROWS>() {
                    Some(out) if past_caches => isa::store_past_caches(out, results),
                    Some(out) => *out = *results,
                    None => out.copy_from_slice(&results[..n_rows]),
                }
            }
        }
        if past_caches {
            isa::settle_stores();
        }
    }

    /// Part after part of the columns, of one panel after the other.
    fn add_products<B: Weights>(&self, share: &Share<'_>, results: &mut Results) {
        let Share { isa, x, panels, tokens } = share;
        let (matrix, n_cols) = (blocks::from_bytes::<B>(self.weights.bytes), self.weights.n_cols);
        let part_cols = part_cols(B::PACKING, tokens.len()).unwrap_or(n_cols);
        for first in (0..n_cols).step_by(part_cols) {
            let part = Part { tokens: tokens.clone(), columns: first..n_cols.min(first + part_cols) };
            let Range { start, end } = part.columns;
            for (panel, results) in panels.clone().zip(results.chunks_mut(tokens.len())) {
                let next = if panel + 1 < panels.end {
                    (panel + 1, start)
                } else if end < n_cols {
                    (panels.start, end)
                } else {
                    (panel + 1, 0)
                };
                let blocks = start / B::LEN..end / B::LEN;
                let panel = Panel::new(matrix, n_cols / B::LEN, panel, blocks, (next.0, next.1 / B::LEN));
                B::multiply(*isa, panel, x, &part, results);
            }
        }
    }
}

/// Columns of a part for so many tokens; `None`: all.
fn part_cols(packing: Packing, n_tokens: usize) -> Option<usize> {
    let run_bytes = packing.run_bytes().filter(|_| n_tokens >= PART_TOKENS)?;
    Some((PART_BYTES / (n_tokens * run_bytes)).max(1) * RUN)
}
