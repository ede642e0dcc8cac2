//! What a model will take, before anything is taken.

use crate::{Model, SessionOptions};

/// Bytes by purpose.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MemoryPlan {
    /// Weights, used where they lie in the mapped file.
    pub weights_bytes: u64,
    /// KV cache when the context is full; it grows from nothing.
    pub kv_cache_bytes: u64,
    /// One token's share of it.
    pub kv_bytes_per_token: u64,
    /// Scratch of a session.
    pub scratch_bytes: u64,
    /// Tokenizer and tables.
    pub tables_bytes: u64,
    /// What this process may use: the least of MemAvailable, its cgroups' and its resource limits.
    pub available_bytes: u64,
    /// Tokens of context.
    pub context: u64,
}

impl MemoryPlan {
    /// Computes it; allocates nothing of it.
    pub fn new(_model: &Model, _options: &SessionOptions) -> Self {
        todo!()
    }

    /// Weights, full cache, scratch and tables.
    pub fn total_bytes(&self) -> u64 {
        todo!()
    }

    /// Whether all of it fits what is available.
    pub fn fits(&self) -> bool {
        todo!()
    }
}
