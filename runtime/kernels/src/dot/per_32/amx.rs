//! Sixteen tokens and sixteen rows at a time: a product of tiles sums a block, and vectors scale its sums as everywhere.
//!
//! A block of 32 columns is half of what a tile can multiply, and its sums go through memory; yet sixteen vectors of sums, a product
//! of tiles and three operations each, are less than eight products and three operations each.
//!
//! Tiles and vectors hardly work beside each other. On a Xeon (model 167) a block of sixteen rows and tokens took, in cycles, 17 for
//! its product, 14 for its stores, 35 for its floats, and 67 for all of it, as here. Lost against that: all products of a run first
//! and a tile of activations for both groups (80), stores a pair later (73), floats by vectors of 256 bits (101).

use super::avx512::{Unpacked, add_floats};
use crate::activations::Run32;
use crate::isa::amx::{Amx, N_TILES, Sums, Tiles};
use crate::isa::avx512::{load_floats, load_ints, store_floats};
use crate::isa::{LINE, prefetch_near};
use crate::unpack::Results;
use core::arch::x86_64::*;

/// Tokens of a tile. Fewer are not for tiles.
pub(super) const STEP_TOKENS: usize = 16;

/// Blocks whose sums are on their way while those of the two before are scaled.
const PAIR: usize = 2;

/// Sums of a pair in tiles 0 and 1, its activations in 2 and 3, its weights in 4 and 5.
pub(super) fn tiles(amx: Amx) -> Tiles {
    let (sums, tokens, rows, unused) = ((16, 64), (16, 32), (8, 64), (0, 0));
    let shapes: [_; N_TILES] = [sums, sums, tokens, tokens, rows, rows, unused, unused];
    amx.tiles(shapes)
}

/// Which sums come next.
#[derive(Clone, Copy)]
struct Place {
    token: usize,
    group: usize,
    pair: usize,
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
    let (n_tokens, n_pairs) = (x.len(), w.len().div_ceil(PAIR));
    let n_steps = n_tokens.div_ceil(STEP_TOKENS);
    // The last step begins as early as to be whole; what it computes anew is dropped.
    let first_of = |step: usize| (step * STEP_TOKENS).min(n_tokens - STEP_TOKENS);
    let mut sums = [[Sums([[0; 16]; 16]); PAIR]; 2];
    let [even, odd] = &mut sums;
    let (mut now, mut later) = (even, odd);
    sum(tiles, w, x, Place { token: 0, group: 0, pair: 0 }, now);
    // Only to be fetched: a step's come from the second cache while the one before is worked on (255 -> 279 · 10⁹ multiply-adds a
    // second with Q4_0, of 310 where all tokens are one).
    let (all_x, all_results) = (x.as_ptr(), results.as_ptr());
    for step in 0..n_steps {
        fetch(step, n_steps);
        let first = first_of(step);
        let tokens: &[Run32; STEP_TOKENS] = x[first..].first_chunk().expect("a step's tokens");
        let out: &mut [_; STEP_TOKENS] = results[first..].first_chunk_mut().expect("a step's results");
        for group in 0..GROUPS {
            let mut acc: [__m512; STEP_TOKENS] =
                std::array::from_fn(|t| load_floats(&out[t].as_chunks().0[group]));
            for pair in 0..n_pairs {
                let next = if pair + 1 < n_pairs {
                    Place { token: first, group, pair: pair + 1 }
                } else if group + 1 < GROUPS {
                    Place { token: first, group: group + 1, pair: 0 }
                } else {
                    Place { token: first_of(step + 1), group: 0, pair: 0 }
                };
                sum(tiles, w, x, next, later);
                let (part, n_parts) = (group * n_pairs + pair, GROUPS * n_pairs);
                for t in part * STEP_TOKENS / n_parts..(part + 1) * STEP_TOKENS / n_parts {
                    let token = first_of(step + 1) + t;
                    fetch_value(all_x.wrapping_add(token));
                    fetch_value(all_results.wrapping_add(token));
                }
                let b = PAIR * pair;
                add_block::<MINIMUM>(&mut acc, &now[0], &w[b][group], tokens, b);
                if let Some(w) = w.get(b + 1) {
                    add_block::<MINIMUM>(&mut acc, &now[1], &w[group], tokens, b + 1);
                }
                (now, later) = (later, now);
            }
            for (t, acc) in acc.into_iter().enumerate() {
                if first + t >= step * STEP_TOKENS {
                    store_floats(&mut out[t].as_chunks_mut().0[group], acc);
                }
            }
        }
    }
}

/// Asks for all lines of a value, which may lie anywhere.
#[inline(always)]
fn fetch_value<T>(value: *const T) {
    for at in (0..size_of::<T>()).step_by(LINE) {
        prefetch_near(value.cast::<u8>().wrapping_add(at));
    }
}

/// Adds a block's part in floats.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn add_block<const MINIMUM: bool>(
    acc: &mut [__m512; STEP_TOKENS],
    sums: &Sums,
    w: &Unpacked,
    x: &[Run32; STEP_TOKENS],
    b: usize,
) {
    assert!(b < x[0].d.len(), "a block of the run");
    for t in 0..STEP_TOKENS {
        acc[t] = add_floats::<MINIMUM>(acc[t], load_ints(&sums.0[t]), w, &x[t], b);
    }
}

/// Begins the sums of a pair of blocks.
#[inline(always)]
fn sum<const GROUPS: usize>(
    tiles: &Tiles,
    w: &[[Unpacked; GROUPS]],
    x: &[Run32],
    at: Place,
    sums: &mut [Sums; PAIR],
) {
    let (x, stride) = (&x[at.token..][..STEP_TOKENS], size_of::<Run32>());
    // Of an odd number of blocks the last is summed twice, and once for nothing.
    let (b, c) = (PAIR * at.pair, (PAIR * at.pair + 1).min(w.len() - 1));
    tiles.zero::<0>();
    tiles.zero::<1>();
    // SAFETY: sixteen tokens' runs have 32 bytes of each block; sixteen rows' blocks are eight vectors.
    unsafe {
        tiles.load::<2>(x.as_ptr().cast::<u8>().wrapping_add(32 * b), stride);
        tiles.load::<4>(w[b][at.group].q.as_ptr().cast(), 64);
        tiles.load::<3>(x.as_ptr().cast::<u8>().wrapping_add(32 * c), stride);
        tiles.load::<5>(w[c][at.group].q.as_ptr().cast(), 64);
    }
    tiles.add_products::<0, 2, 4>();
    tiles.add_products::<1, 3, 5>();
    tiles.store::<0>(&mut sums[0]);
    tiles.store::<1>(&mut sums[1]);
}
