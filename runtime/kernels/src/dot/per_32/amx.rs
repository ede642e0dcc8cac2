//! Sixteen tokens and sixteen rows at a time: a product of tiles sums a block, and vectors scale its sums as everywhere.
//!
//! A block of 32 columns is half of what a tile can multiply, and its sums go through memory; yet sixteen vectors of sums, a product
//! of tiles and three operations each, are less than eight products and three operations each.
//!
//! While a tile is worked on, products of floats and converts go to one of two units (a Xeon, model 207: 48 of them beside a product of
//! tiles take 48 cycles, alone 24; sums of floats or integers go to both), and products of tiles wait for loads and stores for their
//! sums. So four blocks are on their way at a time, and a quarter of one's floats follows each step of another: a core of that
//! Xeon does 297 · 10⁹ multiply-adds a second with Q4_0 and 245 with Q5_1 (256 rows of 4096 from the caches, 512 tokens) where pairs of
//! blocks, whose floats followed all of the next pair, came to 275 and 197; with all tokens one, 348. All of a block's floats behind its
//! steps is 228. Lost, too: sums as floats by additions of 1.5 · 2²³ (287; Q5_1 242), and on another (model 167) all products of a run
//! first and a tile of activations for both groups, floats by vectors of 256 bits.

use super::avx512::{Unpacked, add_floats};
use crate::activations::Run32;
use crate::isa::amx::{Amx, N_TILES, STEP_TOKENS, Sums, Tiles, first_token};
use crate::isa::avx512::{load_floats, load_ints, store_floats};
use crate::isa::prefetch_near_all;
use crate::unpack::{PANEL_ROWS, Results};
use core::arch::x86_64::*;
use std::mem::offset_of;

/// Blocks that are on their way at a time, each with a tile of sums: begun, begun, stored, and scaled.
const TURNS: usize = 4;

/// Sums in tiles 0 to 3, activations in 4 and 5, weights in 6 and 7.
pub(super) fn tiles(amx: Amx) -> Tiles {
    let (sums, tokens, rows) = ((16, 64), (16, 32), (8, 64));
    let shapes: [_; N_TILES] = [sums, sums, sums, sums, tokens, tokens, rows, rows];
    amx.tiles(shapes)
}

/// Adds the products of a run's blocks, of which `w` has signed weights, with sixteen tokens or more; `fetch` is called with each
/// step and how many there are.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn add_run<const MINIMUM: bool, const GROUPS: usize>(
    tiles: &Tiles,
    w: &[[Unpacked; GROUPS]],
    x: &[Run32],
    results: &mut Results,
    fetch: impl Fn(usize, usize),
) {
    let n_tokens = x.len();
    let n_steps = n_tokens.div_ceil(STEP_TOKENS);
    let mut way = Way { tiles, w, x, step: 0, group: 0, block: 0 };
    let [even, odd] = &mut [Sums([[0; 16]; 16]); 2];
    way.begin::<0, 4, 6>(|_| ());
    way.begin::<1, 5, 7>(|_| ());
    way.begin::<2, 4, 6>(|_| ());
    tiles.store::<0>(even);
    // Only to be fetched: a step's come from the second cache while the one before is worked on (3 % of the time).
    let (all_x, all_results) = (x.as_ptr(), results.as_ptr());
    let used_bytes = if MINIMUM { size_of::<Run32>() } else { offset_of!(Run32, s) };
    for step in 0..n_steps {
        fetch(step, n_steps);
        let (first, next) = (first_token(step, n_tokens), first_token(step + 1, n_tokens));
        let tokens: &[Run32; STEP_TOKENS] = x[first..].first_chunk().expect("a step's tokens");
        let out: &mut [_; STEP_TOKENS] = results[first..].first_chunk_mut().expect("a step's results");
        for group in 0..GROUPS {
            let mut acc: [__m512; STEP_TOKENS] =
                std::array::from_fn(|t| load_floats(&out[t].as_chunks().0[group]));
            let n_fours = w.len().div_ceil(TURNS);
            for (four, w) in w.chunks(TURNS).enumerate() {
                let mut scale = |at: usize, sums: &Sums, part: usize| {
                    if let Some(w) = w.get(at) {
                        add_part::<MINIMUM>(&mut acc, sums, &w[group], tokens, TURNS * four + at, part);
                    }
                };
                way.turn::<3, 5, 7, 1>(odd, |part| scale(0, even, part));
                way.turn::<0, 4, 6, 2>(even, |part| scale(1, odd, part));
                way.turn::<1, 5, 7, 3>(odd, |part| scale(2, even, part));
                way.turn::<2, 4, 6, 0>(even, |part| scale(3, odd, part));
                let (part, n_parts) = (group * n_fours + four, GROUPS * n_fours);
                for t in part * STEP_TOKENS / n_parts..(part + 1) * STEP_TOKENS / n_parts {
                    prefetch_near_all(all_x.wrapping_add(next + t).cast(), used_bytes);
                    prefetch_near_all(
                        all_results.wrapping_add(next + t).cast(),
                        size_of::<[f32; PANEL_ROWS]>(),
                    );
                }
            }
            for (t, acc) in acc.into_iter().enumerate() {
                if first + t >= step * STEP_TOKENS {
                    store_floats(&mut out[t].as_chunks_mut().0[group], acc);
                }
            }
        }
    }
}

/// Parts in which a block's sums are scaled, so that tiles and vectors take turns.
const PARTS: usize = 4;

/// Adds a part of a block in floats: those of some tokens.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn add_part<const MINIMUM: bool>(
    acc: &mut [__m512; STEP_TOKENS],
    sums: &Sums,
    w: &Unpacked,
    x: &[Run32; STEP_TOKENS],
    b: usize,
    part: usize,
) {
    assert!(b < x[0].d.len(), "a block of the run");
    for t in part * STEP_TOKENS / PARTS..(part + 1) * STEP_TOKENS / PARTS {
        acc[t] = add_floats::<MINIMUM>(acc[t], load_ints(&sums.0[t]), w, &x[t], b);
    }
}

/// Blocks in the order in which they are multiplied.
struct Way<'a, const GROUPS: usize> {
    tiles: &'a Tiles,
    w: &'a [[Unpacked; GROUPS]],
    x: &'a [Run32],
    /// Which comes next. Past the last of a row stands the last again until four have had their turns, past the last step as well.
    step: usize,
    group: usize,
    block: usize,
}

impl<const GROUPS: usize> Way<'_, GROUPS> {
    /// Where the next block has sixteen tokens' activations, a run apart, and sixteen rows' weights.
    #[inline(always)]
    fn next(&mut self) -> (*const u8, *const u8) {
        let b = self.block.min(self.w.len() - 1);
        let x = &self.x[first_token(self.step, self.x.len())..][..STEP_TOKENS];
        let next =
            (x.as_ptr().cast::<u8>().wrapping_add(32 * b), self.w[b][self.group].q.as_ptr().cast::<u8>());
        self.block += 1;
        if self.block == self.w.len().next_multiple_of(TURNS) {
            (self.block, self.group) = (0, self.group + 1);
        }
        if self.group == GROUPS {
            (self.group, self.step) = (0, self.step + 1);
        }
        next
    }

    /// Begins the next block's sums in tile `SUMS`; in between, `scale` does all parts of another but the last.
    #[inline(always)]
    fn begin<const SUMS: usize, const X: usize, const W: usize>(&mut self, mut scale: impl FnMut(usize)) {
        let (tokens, rows) = self.next();
        // SAFETY: each of the sixteen tokens' runs has 32 bytes of the block.
        unsafe { self.tiles.load::<X>(tokens, size_of::<Run32>()) };
        scale(0);
        // SAFETY: they are eight vectors.
        unsafe { self.tiles.load::<W>(rows, 64) };
        scale(1);
        self.tiles.zero::<SUMS>();
        self.tiles.add_products::<SUMS, X, W>();
        scale(2);
    }

    /// Likewise, and stores the sums in `STORED`, which have had two turns' time; `scale` does the last part, too, of what was stored
    /// before.
    #[inline(always)]
    fn turn<const SUMS: usize, const X: usize, const W: usize, const STORED: usize>(
        &mut self,
        stored: &mut Sums,
        mut scale: impl FnMut(usize),
    ) {
        self.begin::<SUMS, X, W>(&mut scale);
        self.tiles.store::<STORED>(stored);
        scale(PARTS - 1);
    }
}
