//! What a model will take, before anything is taken.

use crate::forward::Forward;
use crate::kv_cache::KvCache;
use crate::{Model, SessionOptions, machine};

/// What the header becomes: the metadata as the file's room keeps them, and the tokenizer's copy with its index.
/// Measured: see the test of a model with many tokens.
const TABLES_PER_HEADER: u64 = 3;

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
    /// What this process may use: the least of MemAvailable, its cgroups' and its resource limits; `u64::MAX` where
    /// the system tells none of them.
    pub available_bytes: u64,
    /// Tokens of context.
    pub context: u64,
}

impl MemoryPlan {
    /// Computes it; allocates nothing of it. A size beyond 64 bits is `u64::MAX`.
    pub fn new(model: &Model, options: &SessionOptions) -> Self {
        let (config, context) = (model.config(), options.context_for(model));
        Self {
            weights_bytes: model.weights().n_bytes,
            kv_cache_bytes: KvCache::n_bytes(config, context, options.cache_type).unwrap_or(u64::MAX),
            kv_bytes_per_token: KvCache::bytes_per_token(config, options.cache_type).unwrap_or(u64::MAX),
            scratch_bytes: Forward::n_bytes(model, options.batch_for(model)),
            tables_bytes: header_bytes(model.file()).saturating_mul(TABLES_PER_HEADER),
            available_bytes: machine::available_bytes(model.file().n_bytes()),
            context: context as u64,
        }
    }

    /// Weights, full cache, scratch and tables.
    pub fn total_bytes(&self) -> u64 {
        let Self { weights_bytes, kv_cache_bytes, scratch_bytes, tables_bytes, .. } = *self;
        [weights_bytes, kv_cache_bytes, scratch_bytes, tables_bytes].into_iter().fold(0, u64::saturating_add)
    }

    /// Whether all of it fits what is available.
    pub fn fits(&self) -> bool {
        self.total_bytes() <= self.available_bytes
    }
}

/// Bytes before the first tensor.
fn header_bytes(file: &gguf::File) -> u64 {
    file.tensors().iter().map(|tensor| tensor.offset).min().unwrap_or(0)
}
