//! Causal attention over the cache, in tiles of 64 positions that start at position 0, with a running softmax.
//!
//! For one query the sum is: scores `q·k`, a chain of fused multiply-adds, times `1/√head_dim`; for each tile in order the new
//! maximum, `c = exp(old − new)`, `p = exp(score − new)`, `total = fma(total, c, Σp)` with Σp over 16 virtual lanes;
//! `out = out · c`, then `out = fma(p, v, out)` position by position; at the end `out / total`. Nothing in it depends
//! on other queries, so a batch gives what single tokens give.
//!
//! Keys are kept turned, a tile's column of 64 positions after the other: so scores and sums are the same operation,
//! whole vectors times one number, and nothing is ever added across a vector. (A dot product for each
//! position, 16 lanes and then a tree, was tried: the bundled model then took 1.3 times the processor time to read 128
//! tokens after 128 others.)
//!
//! A tile's keys and values are turned into floats once for up to [`QUERIES`] queries of a kv head: those of its group
//! of query heads and of consecutive tokens.

#[cfg(test)]
mod tests;

use crate::exp::exp;
use crate::team::SharedSlice;
use crate::{Isa, Team, halves, lanes};
use blocks::{F32, TensorType};
use std::ops::Range;

/// Positions of a tile.
pub const TILE: usize = 64;

/// Queries that share a tile.
const QUERIES: usize = 32;

/// Floats of keys or values that are in hand at a time: half a first-level cache. A tile of wide heads takes several.
const HAND: usize = 4096;

/// Floats of a head at most: at least one position must fit.
pub const MAX_HEAD_DIM: usize = HAND;

/// One layer's attention for a run of new tokens, whose keys and values are in the cache already.
#[derive(Debug)]
pub struct Attention<'a> {
    /// Queries, `n_heads * head_dim` a token.
    pub q: &'a [f32],
    /// Keys of this layer: per kv head `stride_bytes`, in it whole tiles: `head_dim` columns of [`TILE`] positions each.
    pub k: &'a [u8],
    /// Values: per kv head as many bytes, in it position after position `head_dim` numbers.
    pub v: &'a [u8],
    /// F32 or F16.
    pub cache_type: TensorType,
    /// Bytes from one kv head to the next.
    pub stride_bytes: usize,
    /// Query heads; a multiple of `n_kv_heads`.
    pub n_heads: usize,
    /// Heads of the cache.
    pub n_kv_heads: usize,
    /// Floats in a head, up to 4096.
    pub head_dim: usize,
    /// Position of the first query: it sees `first + 1` positions.
    pub first: usize,
    /// Results, like `q`.
    pub out: &'a mut [f32],
}

/// Softmax(q·k / √head_dim) · v. Parallel over kv heads and tokens; the result does not depend on the threads.
///
/// # Panics
/// If shapes do not agree, the cache is too short, or its type is neither F32 nor F16.
pub fn attention(team: &Team, operation: Attention<'_>) {
    let Attention { q, k, v, cache_type, stride_bytes, n_heads, n_kv_heads, head_dim, first, out } =
        operation;
    let n_cols = n_heads.checked_mul(head_dim).expect("heads that can be addressed");
    assert_eq!(
        n_heads.checked_rem(n_kv_heads),
        Some(0),
        "{n_heads} query heads for {n_kv_heads} heads of the cache"
    );
    assert!((1..=MAX_HEAD_DIM).contains(&head_dim), "heads of {head_dim} floats");
    assert!(
        q.len() == out.len() && q.len().is_multiple_of(n_cols),
        "queries and results of {n_cols} floats a token"
    );
    assert!(matches!(cache_type, TensorType::F32 | TensorType::F16), "a cache of type {cache_type}");
    let n_tokens = q.len() / n_cols;
    let row_bytes = head_dim * cache_type.block_bytes();
    let n_tiles = (first + n_tokens).div_ceil(TILE);
    assert!(n_tiles * TILE * row_bytes <= stride_bytes, "a cache with room for all positions");
    assert!(
        k.len() >= n_kv_heads * stride_bytes && v.len() >= n_kv_heads * stride_bytes,
        "a cache of all heads"
    );

    let group = n_heads / n_kv_heads;
    let runs = (n_tokens * group).div_ceil(QUERIES);
    let (isa, out) = (team.isa(), SharedSlice::new(out));
    // The last runs see the most positions: first come, first served, and none is left alone with the longest.
    team.for_each(n_kv_heads * runs, 1, |tasks| {
        for task in tasks {
            let (run, kv_head) = (runs - 1 - task / n_kv_heads, task % n_kv_heads);
            let of_head = kv_head * stride_bytes..(kv_head + 1) * stride_bytes;
            let cache = Head { k: &k[of_head.clone()], v: &v[of_head], cache_type, head_dim, isa };
            let mut queries = [const { None }; QUERIES];
            for (query, index) in queries.iter_mut().zip(run * QUERIES..n_tokens * group) {
                let (token, head) = (index / group, kv_head * group + index % group);
                let at = token * n_cols + head * head_dim;
                // SAFETY: a query's results are its own; each belongs to one kv head and one run, and for_each hands
                // out each pair of those once.
                let out = unsafe { out.slice(at..at + head_dim) };
                out.fill(0.0);
                let n_visible = first + token + 1;
                *query = Some(Query {
                    q: &q[at..at + head_dim],
                    out,
                    n_visible,
                    max: f32::NEG_INFINITY,
                    total: 0.0,
                });
            }
            isa.run(
                #[inline(always)]
                || attend(&cache, &mut queries),
            );
        }
    });
}

/// What a kv head's queries share.
struct Head<'a> {
    k: &'a [u8],
    v: &'a [u8],
    cache_type: TensorType,
    head_dim: usize,
    isa: Isa,
}

impl Head<'_> {
    /// Some numbers of the keys or values as floats.
    #[inline(always)]
    fn take<'h>(&self, cache: &[u8], numbers: Range<usize>, hand: &'h mut [f32; HAND]) -> &'h [f32] {
        let floats = &mut hand[..numbers.len()];
        let size = self.cache_type.block_bytes();
        let bytes = &cache[numbers.start * size..numbers.end * size];
        if self.cache_type == TensorType::F16 {
            halves::to_f32(self.isa, blocks::from_bytes(bytes), floats);
        } else {
            for (x, number) in floats.iter_mut().zip(blocks::from_bytes::<F32>(bytes)) {
                *x = number.to_f32();
            }
        }
        floats
    }
}

/// A query, and how far its softmax has come.
struct Query<'a> {
    q: &'a [f32],
    /// Σ p·v so far.
    out: &'a mut [f32],
    n_visible: usize,
    max: f32,
    /// Σ p so far.
    total: f32,
}

#[inline(always)]
fn attend(cache: &Head<'_>, queries: &mut [Option<Query<'_>>; QUERIES]) {
    let head_dim = cache.head_dim;
    let scale = 1.0 / (head_dim as f32).sqrt();
    let n_positions = queries.iter().flatten().map(|query| query.n_visible).max().unwrap_or(0);
    let mut scores = [[0.0; TILE]; QUERIES];
    let mut hand = [0.0; HAND];
    for tile in (0..n_positions).step_by(TILE) {
        for columns in hands(0..head_dim, TILE) {
            let first = tile * head_dim;
            let k = cache.take(cache.k, first + columns.start * TILE..first + columns.end * TILE, &mut hand);
            for (query, scores) in queries.iter().flatten().zip(&mut scores) {
                if tile < query.n_visible {
                    if columns.start == 0 {
                        *scores = [0.0; TILE];
                    }
                    add_weighted(scores, &query.q[columns.clone()], k);
                }
            }
        }
        for (query, scores) in queries.iter_mut().flatten().zip(&mut scores) {
            query.weigh(&mut scores[..query.n_visible.saturating_sub(tile).min(TILE)], scale);
        }
        for positions in hands(tile..n_positions.min(tile + TILE), head_dim) {
            let v = cache.take(cache.v, positions.start * head_dim..positions.end * head_dim, &mut hand);
            for (query, scores) in queries.iter_mut().flatten().zip(&scores) {
                let n = query.n_visible.clamp(positions.start, positions.end) - positions.start;
                add_weighted(query.out, &scores[positions.start - tile..][..n], v);
            }
        }
    }
    for query in queries.iter_mut().flatten() {
        let total = query.total;
        query.out.iter_mut().for_each(|out| *out /= total);
    }
}

/// Rows of so many floats, in runs that a hand can hold.
#[inline(always)]
fn hands(rows: Range<usize>, n_floats: usize) -> impl Iterator<Item = Range<usize>> {
    let n_rows = HAND / n_floats;
    rows.clone().step_by(n_rows).map(move |first| first..rows.end.min(first + n_rows))
}

impl Query<'_> {
    /// Turns a tile's products with the keys into weights, and brings what was summed to the new maximum.
    #[inline(always)]
    fn weigh(&mut self, scores: &mut [f32], scale: f32) {
        if scores.is_empty() {
            return;
        }
        scores.iter_mut().for_each(|score| *score *= scale);
        let max = scores.iter().fold(self.max, |max, &score| if score > max { score } else { max });
        let correction = exp(self.max - max);
        scores.iter_mut().for_each(|score| *score = exp(*score - max));
        self.total = self.total.mul_add(correction, lanes::sum(scores));
        self.out.iter_mut().for_each(|out| *out *= correction);
        self.max = max;
    }
}

/// `out += Σ weight · row`, row by row; some floats at a time, whose sums stay in registers.
#[inline(always)]
fn add_weighted(out: &mut [f32], weights: &[f32], rows: &[f32]) {
    let n_cols = out.len();
    let (wide, rest) = out.as_chunks_mut::<64>();
    let (half, rest) = rest.as_chunks_mut::<32>();
    let (narrow, rest) = rest.as_chunks_mut::<8>();
    let mut at = 0;
    for out in wide {
        add_weighted_columns(out, weights, rows, n_cols, at);
        at += out.len();
    }
    for out in half {
        add_weighted_columns(out, weights, rows, n_cols, at);
        at += out.len();
    }
    for out in narrow {
        add_weighted_columns(out, weights, rows, n_cols, at);
        at += out.len();
    }
    for out in rest.as_chunks_mut::<1>().0 {
        add_weighted_columns(out, weights, rows, n_cols, at);
        at += 1;
    }
}

#[inline(always)]
fn add_weighted_columns<const N: usize>(
    out: &mut [f32; N],
    weights: &[f32],
    rows: &[f32],
    n_cols: usize,
    first: usize,
) {
    let mut sums = *out;
    for (weight, row) in weights.iter().zip(rows.chunks_exact(n_cols)) {
        let row: &[f32; N] = row[first..first + N].try_into().expect("N columns");
        for i in 0..N {
            sums[i] = weight.mul_add(row[i], sums[i]);
        }
    }
    *out = sums;
}
