//! New keys and values on their way into the cache.

use super::cache::CacheTypes;
use super::{keys, values};
use crate::Team;
use crate::team::SharedSlice;

/// A layer's keys and values for a run of new tokens, and where they go.
#[derive(Debug)]
pub struct NewTokens<'a> {
    /// Keys, `n_kv_heads * head_dim` a token.
    pub k: &'a [f32],
    /// Values, likewise.
    pub v: &'a [f32],
    /// This layer's part of the cache, as [`Attention`](crate::Attention) reads it: head after head.
    pub k_cache: &'a mut [u8],
    /// Likewise.
    pub v_cache: &'a mut [u8],
    /// How it is kept.
    pub types: CacheTypes,
    /// Heads of the cache.
    pub n_kv_heads: usize,
    /// Floats in a head.
    pub head_dim: usize,
    /// Position of the first token.
    pub first: usize,
}

/// Puts keys and values into the cache, rounded to its types. What is stored does not depend on the level or the threads.
///
/// # Panics
/// If shapes do not agree, or the cache is too short.
pub fn store(team: &Team, new: NewTokens<'_>) {
    let NewTokens { k, v, k_cache, v_cache, types, n_kv_heads, head_dim, first } = new;
    let n_cols = n_kv_heads * head_dim;
    assert!(k.len() == v.len() && k.len().checked_rem(n_cols) == Some(0), "rows of {n_cols} keys and values");
    let strides = [k_cache.len() / n_kv_heads, v_cache.len() / n_kv_heads];
    let [k_cache, v_cache] = [k_cache, v_cache].map(SharedSlice::new);
    let isa = team.isa();
    team.for_each(2 * n_kv_heads, 1, |tasks| {
        for task in tasks {
            let (head, is_value) = (task / 2, task % 2 == 1);
            let (new, cache) = if is_value { (v, &v_cache) } else { (k, &k_cache) };
            let stride = strides[usize::from(is_value)];
            // SAFETY: for_each hands out every head of keys and of values once.
            let cache = unsafe { cache.slice(head * stride..(head + 1) * stride) };
            let rows = new.chunks_exact(n_cols).map(|row| &row[head * head_dim..][..head_dim]);
            isa.run(
                #[inline(always)]
                || {
                    for (position, x) in (first..).zip(rows) {
                        if is_value {
                            values::store(isa, types.v, cache, position, x);
                        } else {
                            keys::store(isa, types.k, cache, position, x);
                        }
                    }
                },
            );
        }
    });
}
