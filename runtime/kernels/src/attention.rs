//! Causal attention over the cache, in tiles of 64 positions that start at position 0, with a running softmax.

use crate::Team;
use blocks::TensorType;

/// One layer's attention for a run of new tokens, whose keys and values are in the cache already.
#[derive(Debug)]
pub struct Attention<'a> {
    /// Queries, `n_heads * head_dim` a token.
    pub q: &'a [f32],
    /// Keys of this layer: per kv head `stride_bytes`, in it position after position `head_dim` numbers.
    pub k: &'a [u8],
    /// Values, likewise.
    pub v: &'a [u8],
    /// F32 or F16.
    pub cache_type: TensorType,
    /// Bytes from one kv head to the next.
    pub stride_bytes: usize,
    /// Query heads; a multiple of `n_kv_heads`.
    pub n_heads: usize,
    /// Heads of the cache.
    pub n_kv_heads: usize,
    /// Floats in a head.
    pub head_dim: usize,
    /// Position of the first query: it sees `first + 1` positions.
    pub first: usize,
    /// Results, like `q`.
    pub out: &'a mut [f32],
}

/// Softmax(q·k / √head_dim) · v. Parallel over kv heads and tokens; the result does not depend on the threads.
pub fn attention(_team: &Team, _operation: Attention<'_>) {
    todo!()
}
