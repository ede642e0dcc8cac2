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
//! of query heads and of consecutive tokens, four of which share a load. Meanwhile the next tile is prefetched. How a
//! cache keeps its numbers ([`CacheType`]) does not enter the sum. One query alone has no use for floats that are written down: with Q8_0
//! and Q4_0 it takes them from registers (two cores of a Zen 3, 32 heads, 4096 positions: 3.5 ms a layer by way of memory and
//! 2.3 to 2.8 with Q8_0, 4.0 to 5.0 and 2.6 to 3.1 with Q4_0, by turns). Scales of a tile's values that became floats all at once, in a
//! loop that keeps its sums in registers, took a core from 7.3 to 9.9 · 10⁹ multiply-adds a second with Q8_0 and from 7.0 to 8.0 with
//! Q4_0, from the caches; F16 comes to 7.7 there, and then waits for memory.
//!
//! The example `attention` at AVX-512 on two cores of a Xeon (model 167, 3.9 GHz), one layer, heads of 128, 4096
//! positions; memory gave 29–32 GB/s, the peak of fused multiply-adds was 247 · 10⁹ a second:
//!
//! | | f16 | q8_0 | q4_0 |
//! |---|---|---|---|
//! | 1 token, 32 heads, ms (share of the bandwidth) | 2.9 (0.72) | 2.5 (0.46) | 1.8 (0.34) |
//! | 1 token, 32 heads in 8 groups, ms | 0.95 (0.57) | 0.94 (0.30) | 0.58 (0.26) |
//! | 128 tokens, 32 heads, 10⁹ multiply-adds a second (share of the peak) | 139 (0.56) | 124 (0.51) | 121 (0.50) |
//! | 128 tokens, 32 heads in 8 groups | 128 (0.52) | 122 (0.51) | 134 (0.54) |
//!
//! Queries and results that lay where the caller has them, 16 KiB from one token to the next, took a quarter longer: all
//! in the same few sets of the first cache. Half as many queries a run, or prefetching a tile's quarters by turns,
//! changed nothing.
//! Prefetches between the queries, and not all before a tile, were worth 7 % of reading 128 tokens. On a core of a Zen 3 (AVX2,
//! peak 52 · 10⁹) six queries that share a load came to what four do, 33 for 64 tokens, and half as much in hand for a token
//! alone lost a tenth with Q8_0.

mod cache;
mod keys;
mod store;
#[cfg(test)]
mod tests;
mod values;
mod weighted;

pub use cache::{CacheType, CacheTypes, UnknownCacheType};
pub use store::{NewTokens, store};

use crate::exp::exp;
use crate::isa::{LINE, prefetch};
use crate::team::SharedSlice;
use crate::{Isa, Team, lanes};
use cache::RUN as BLOCK;
use std::ops::Range;
use weighted::add_weighted;

/// Positions of a tile.
pub const TILE: usize = 64;

/// Queries that share a tile.
const QUERIES: usize = 64;

/// Floats of a run's queries, and of its results: so many heads of 128. They are copied to lie side by side, because
/// those of one head lie a power of two apart, where they push each other out of the first cache.
const RUN_FLOATS: usize = QUERIES * 128;

/// Queries that share a load of it.
const AT_ONCE: usize = 4;

/// Floats of keys or values that are in hand at a time: half a first-level cache. A tile of wide heads takes several.
const HAND: usize = 4096;

/// For few queries, which wait for memory: the next tile is asked for more often.
const SMALL_HAND: usize = 2048;

/// Floats of a head at most: at least one position must fit.
pub const MAX_HEAD_DIM: usize = HAND;

/// One layer's attention for a run of new tokens, whose keys and values are in the cache already.
#[derive(Debug)]
pub struct Attention<'a> {
    /// Queries, `n_heads * head_dim` a token.
    pub q: &'a [f32],
    /// Keys of this layer: head after head, in whole tiles of [`TILE`] positions. [`store()`] puts them there.
    pub k_cache: &'a [u8],
    /// Values, likewise.
    pub v_cache: &'a [u8],
    /// How they are kept.
    pub types: CacheTypes,
    /// Query heads; a multiple of `n_kv_heads`.
    pub n_heads: usize,
    /// Heads of the cache.
    pub n_kv_heads: usize,
    /// Floats in a head, up to [`MAX_HEAD_DIM`].
    pub head_dim: usize,
    /// Position of the first query: it sees `first + 1` positions.
    pub first: usize,
    /// Results, like `q`.
    pub out: &'a mut [f32],
}

/// Softmax(q·k / √head_dim) · v. Parallel over kv heads and tokens; the result does not depend on the threads.
///
/// # Panics
/// If shapes do not agree, or the cache is too short.
pub fn attention(team: &Team, operation: Attention<'_>) {
    let Attention { q, k_cache, v_cache, types, n_heads, n_kv_heads, head_dim, first, out } = operation;
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
    let n_tokens = q.len() / n_cols;
    let n_positions = (first + n_tokens).next_multiple_of(TILE);
    let strides = [k_cache.len() / n_kv_heads, v_cache.len() / n_kv_heads];
    assert!(
        n_positions * types.k.position_bytes(head_dim) <= strides[0]
            && n_positions * types.v.position_bytes(head_dim) <= strides[1],
        "a cache with room for all positions"
    );

    let group = n_heads / n_kv_heads;
    let n_queries = (RUN_FLOATS / head_dim).clamp(1, QUERIES);
    let runs = (n_tokens * group).div_ceil(n_queries);
    let (isa, out) = (team.isa(), SharedSlice::new(out));
    // The last runs see the most positions: first come, first served, and none is left alone with the longest.
    team.for_each(n_kv_heads * runs, 1, |tasks| {
        for task in tasks {
            let (run, kv_head) = (runs - 1 - task / n_kv_heads, task % n_kv_heads);
            let head = Head {
                k: &k_cache[kv_head * strides[0]..][..strides[0]],
                v: &v_cache[kv_head * strides[1]..][..strides[1]],
                types,
                head_dim,
                isa,
            };
            let mut near = [0.0; 2 * RUN_FLOATS];
            let (near_q, near_out) = near.split_at_mut(RUN_FLOATS);
            let near = near_q.chunks_exact_mut(head_dim).zip(near_out.chunks_exact_mut(head_dim));

            let mut queries: [Query<'_>; QUERIES] = std::array::from_fn(|_| Query::none());
            let of_run = run * n_queries..(n_tokens * group).min((run + 1) * n_queries);
            let place = |index: usize| {
                let (token, head) = (index / group, kv_head * group + index % group);
                let start = token * n_cols + head * head_dim;
                (token, start..start + head_dim)
            };
            let queries = &mut queries[..of_run.len()];
            for ((query, index), (near_q, near_out)) in queries.iter_mut().zip(of_run.clone()).zip(near) {
                let (token, place) = place(index);
                near_q.copy_from_slice(&q[place]);
                *query = Query { q: near_q, out: near_out, n_visible: first + token + 1, ..Query::none() };
            }
            isa.run(
                #[inline(always)]
                || attend(&head, queries),
            );
            for (query, index) in queries.iter().zip(of_run) {
                let (_, place) = place(index);
                // SAFETY: a query's results are its own; each belongs to one kv head and one run, and for_each hands
                // out each pair of those once.
                unsafe { out.slice(place) }.copy_from_slice(query.out);
            }
        }
    });
}

/// What a kv head's queries share.
struct Head<'a> {
    k: &'a [u8],
    v: &'a [u8],
    types: CacheTypes,
    head_dim: usize,
    isa: Isa,
}

/// The tile after one, in as many parts as the tile is taken in: what is to be prefetched meanwhile.
#[inline(always)]
fn ahead(
    half: &[u8],
    ty: CacheType,
    head_dim: usize,
    tile: usize,
    n_parts: usize,
) -> impl Iterator<Item = &[u8]> {
    let tile_bytes = TILE * ty.position_bytes(head_dim);
    parts(half.get((tile + 1) * tile_bytes..(tile + 2) * tile_bytes).unwrap_or_default(), n_parts)
}

/// So many parts of equal length, and then nothing for ever.
#[inline(always)]
fn parts(bytes: &[u8], n: usize) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(bytes.len().div_ceil(n).max(1)).chain(std::iter::repeat(&[][..]))
}

/// Asks for memory before some queries' turn: all of it at once would have them wait for it.
#[inline(always)]
fn fetch<'a>(mut parts: impl Iterator<Item = &'a [u8]>) {
    parts.next().unwrap_or_default().chunks(LINE).for_each(|line| prefetch(line.as_ptr()));
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

/// A tile's scores for one query; then its weights.
type Scores = [f32; TILE];

/// Keys or values as floats, where no vector of them lies across two lines of the first cache.
#[repr(C, align(64))]
struct Hand {
    floats: [f32; HAND],
    /// How many to take at a time; one row always.
    len: usize,
}

/// Some rows of a tile, and what is to be prefetched while they are used.
struct InHand<'h> {
    rows: &'h [f32],
    /// From one row to the next.
    row_len: usize,
    ahead: &'h [u8],
}

/// All queries of a run, in the order of what they see.
#[inline(always)]
fn attend(head: &Head<'_>, queries: &mut [Query<'_>]) {
    let scale = 1.0 / (head.head_dim as f32).sqrt();
    let n_positions = queries.last().map_or(0, |query| query.n_visible);
    let mut scores = [[0.0; TILE]; QUERIES];
    let hand =
        &mut Hand { floats: [0.0; HAND], len: if queries.len() > AT_ONCE { HAND } else { SMALL_HAND } };
    for first in (0..n_positions).step_by(TILE) {
        // Earlier tokens do not see the last tiles.
        let n_blind = queries.partition_point(|query| query.n_visible <= first);
        let queries = &mut queries[n_blind..];
        let scores = &mut scores[..queries.len()];

        score(head, first, queries, scores, hand);
        for (query, scores) in queries.iter_mut().zip(&mut *scores) {
            match (query.n_visible - first).min(TILE) {
                // A length that the compiler knows.
                TILE => query.weigh(scores, scale),
                n => query.weigh(&mut scores[..n], scale),
            }
        }
        let positions = first..n_positions.min(first + TILE);
        sum(head, first, positions, queries, scores, hand);
    }
    for query in queries.iter_mut() {
        let total = query.total;
        query.out.iter_mut().for_each(|out| *out /= total);
    }
}

/// The products of the queries with the keys of the tile at `first`.
#[inline(always)]
fn score(head: &Head<'_>, first: usize, queries: &[Query<'_>], scores: &mut [Scores], hand: &mut Hand) {
    let &Head { types, head_dim, isa, .. } = head;
    scores.fill([0.0; TILE]);
    if let ([query], [scores], true) = (queries, &mut *scores, types.k.is_quantized()) {
        let mut ahead = ahead(head.k, types.k, head_dim, first / TILE, head_dim.div_ceil(BLOCK));
        let tile_bytes = TILE * types.k.position_bytes(head_dim);
        let tile = &head.k[first / TILE * tile_bytes..][..tile_bytes];
        keys::add_scores(isa, types.k, tile, query.q, scores, || fetch(&mut ahead));
    } else {
        let ahead_k = ahead(head.k, types.k, head_dim, first / TILE, head_dim.div_ceil(hand.len / TILE));
        for (columns, ahead) in hands(0..head_dim, TILE, hand.len).zip(ahead_k) {
            let rows = &mut hand.floats.as_chunks_mut::<TILE>().0[..columns.len()];
            keys::take(isa, types.k, head.k, head_dim, first / TILE, columns.clone(), rows);
            add_keys(
                isa,
                scores,
                queries,
                columns,
                &InHand { rows: rows.as_flattened(), row_len: TILE, ahead },
            );
        }
    }
}

/// Adds values at `positions` of that tile to the queries' results.
#[inline(always)]
fn sum(
    head: &Head<'_>,
    first: usize,
    positions: Range<usize>,
    queries: &mut [Query<'_>],
    scores: &[Scores],
    hand: &mut Hand,
) {
    let &Head { types, head_dim, isa, .. } = head;
    if let ([query], [scores], true) = (&mut *queries, scores, types.v.is_quantized()) {
        let mut ahead = ahead(head.v, types.v, head_dim, first / TILE, head_dim.div_ceil(BLOCK));
        let (position_bytes, weights) = (types.v.position_bytes(head_dim), &scores[..positions.len()]);
        let rows = &head.v[positions.start * position_bytes..positions.end * position_bytes];
        values::add_weighted(isa, types.v, rows, weights, query.out, || fetch(&mut ahead));
    } else {
        let row_len = types.v.row_len(head_dim);
        let n_rows = (hand.len / row_len).max(1);
        let ahead_v = ahead(head.v, types.v, head_dim, first / TILE, TILE.div_ceil(n_rows));
        for (positions, ahead) in hands(positions, row_len, hand.len).zip(ahead_v) {
            let rows = &mut hand.floats[..positions.len() * row_len];
            values::take(isa, types.v, head.v, head_dim, positions.clone(), rows);
            let of_tile = positions.start - first..positions.end - first;
            add_values(isa, queries, scores, first, of_tile, &InHand { rows, row_len, ahead });
        }
    }
}

/// Rows of so many floats, in runs that a hand can hold.
#[inline(always)]
fn hands(rows: Range<usize>, n_floats: usize, hand_len: usize) -> impl Iterator<Item = Range<usize>> {
    let n_rows = (hand_len / n_floats).max(1);
    rows.clone().step_by(n_rows).map(move |first| first..rows.end.min(first + n_rows))
}

/// What some columns of keys add to the scores.
#[inline(always)]
fn add_keys(
    isa: Isa,
    scores: &mut [Scores],
    queries: &[Query<'_>],
    columns: Range<usize>,
    hand: &InHand<'_>,
) {
    let &InHand { rows, row_len, ahead } = hand;
    let mut ahead = parts(ahead, queries.len().div_ceil(AT_ONCE));
    let (fours, rest) = queries.as_chunks::<AT_ONCE>();
    let (scores, scores_rest) = scores.as_chunks_mut::<AT_ONCE>();
    for (scores, queries) in scores.iter_mut().zip(fours) {
        fetch(&mut ahead);
        let weights = queries.each_ref().map(|query| &query.q[columns.clone()]);
        add_weighted(isa, scores.each_mut().map(|scores| &mut scores[..]), weights, rows, row_len);
    }
    for (scores, query) in scores_rest.iter_mut().zip(rest) {
        fetch(&mut ahead);
        add_weighted(isa, [scores], [&query.q[columns.clone()]], rows, row_len);
    }
}

/// What some positions of the tile at `first` add to the results.
#[inline(always)]
fn add_values(
    isa: Isa,
    queries: &mut [Query<'_>],
    scores: &[Scores],
    first: usize,
    positions: Range<usize>,
    hand: &InHand<'_>,
) {
    let &InHand { rows, row_len, ahead } = hand;
    let mut ahead = parts(ahead, queries.len().div_ceil(AT_ONCE));
    // Those of its positions that a query sees.
    let seen =
        |query: &Query<'_>| positions.start..(query.n_visible - first).clamp(positions.start, positions.end);
    let (fours, rest) = queries.as_chunks_mut::<AT_ONCE>();
    let (scores, scores_rest) = scores.as_chunks::<AT_ONCE>();
    for (queries, scores) in fours.iter_mut().zip(scores) {
        fetch(&mut ahead);
        let by_all = seen(&queries[0]);
        let weights = scores.each_ref().map(|scores| &scores[by_all.clone()]);
        add_weighted(isa, queries.each_mut().map(|query| &mut *query.out), weights, rows, row_len);
        for (query, scores) in queries.iter_mut().zip(scores) {
            let alone = by_all.end..seen(query).end;
            let rows = &rows[(by_all.len() * row_len).min(rows.len())..];
            add_weighted(isa, [&mut *query.out], [&scores[alone]], rows, row_len);
        }
    }
    for (query, scores) in rest.iter_mut().zip(scores_rest) {
        fetch(&mut ahead);
        let seen = seen(query);
        add_weighted(isa, [&mut *query.out], [&scores[seen]], rows, row_len);
    }
}

impl Query<'_> {
    /// One that sees nothing.
    fn none() -> Self {
        Self { q: &[], out: &mut [], n_visible: 0, max: f32::NEG_INFINITY, total: 0.0 }
    }

    /// Turns products with the keys of a tile into weights, and brings what was summed to the new maximum.
    #[inline(always)]
    fn weigh(&mut self, scores: &mut [f32], scale: f32) {
        scores.iter_mut().for_each(|score| *score *= scale);
        let max = lanes::max(scores, self.max);
        scores.iter_mut().for_each(|score| *score = exp(*score - max));
        let mut correction = 1.0;
        // Most tiles have no new maximum.
        if max > self.max {
            correction = exp(self.max - max);
            self.out.iter_mut().for_each(|out| *out *= correction);
            self.max = max;
        }
        self.total = self.total.mul_add(correction, lanes::sum(scores));
    }
}
