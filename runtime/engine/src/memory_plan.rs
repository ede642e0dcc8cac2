//! What a model will take, before anything is taken.

use crate::forward::Forward;
use crate::kv_cache::KvCache;
use crate::{Model, SessionOptions, machine};

/// What a byte of the header becomes on the heap: the metadata, and the tokenizer's copy with its index. Measured: 2.2
/// for Llama 2's 32 000 tokens, 2.5 for 4096.
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
            kv_cache_bytes: KvCache::n_bytes(config, context, options.cache).unwrap_or(u64::MAX),
            kv_bytes_per_token: KvCache::bytes_per_token(config, options.cache).unwrap_or(u64::MAX),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::Tiny;
    use kernels::{CacheType, CacheTypes};

    #[test]
    fn a_plan_counts_what_a_session_takes() {
        let model = Tiny::new().model();
        let plan = |context, k, v, batch| {
            let cache = CacheTypes { k, v };
            MemoryPlan::new(&model, &SessionOptions { context, cache, batch, ..Default::default() })
        };
        use CacheType::{F16, F32, Q4_0, Q8_0};
        // 2 layers of 2 heads of 16 numbers, keys and values; whole tiles of 64 positions. A block has room for 32.
        for (context, k, v, token, positions) in [
            (0, F16, F16, 256, 128),
            (64, F32, F32, 512, 64),
            (65, F32, F32, 512, 128),
            (1 << 40, F16, F16, 256, 1 << 40),
            (1, Q8_0, Q8_0, 4 * (34 + 34), 64),
            (65, Q8_0, Q4_0, 4 * (34 + 18), 128),
            (65, Q4_0, F16, 4 * (18 + 32), 128),
        ] {
            let plan = plan(context, k, v, 16);
            assert_eq!(
                (plan.kv_bytes_per_token, plan.kv_cache_bytes),
                (token, token * positions),
                "{context}"
            );
            assert_eq!(plan.context, if context == 0 { 128 } else { context as u64 });
        }
        // A token's row of each buffer: x and y, q and what attention gives, k and v, gate and up, rope. The logits and
        // the packed activations come on top.
        let of_token = 4 * (2 * 64 + 2 * 64 + 2 * 32 + 2 * 96 + 16);
        let scratch = |batch| plan(128, F16, F16, batch).scratch_bytes;
        assert!(scratch(1) >= of_token + 4 * 300 && scratch(1) < 2 * of_token + 4 * 300, "{}", scratch(1));
        assert!(scratch(64) >= 64 * of_token + 32 * 4 * 300, "{}", scratch(64));
        assert_eq!(scratch(0), scratch(1), "a pass has a token at least");
        assert_eq!(scratch(usize::MAX), scratch(128), "and no more than the context");
    }

    #[test]
    fn what_is_beyond_the_machine_does_not_fit() {
        let model = Tiny::new().model();
        let plan = MemoryPlan::new(&model, &SessionOptions { context: usize::MAX, ..Default::default() });
        assert_eq!((plan.kv_cache_bytes, plan.total_bytes()), (u64::MAX, u64::MAX));
        for (available_bytes, fits) in [(1000, true), (999, false)] {
            let sizes = MemoryPlan {
                weights_bytes: 400,
                kv_cache_bytes: 300,
                kv_bytes_per_token: 3,
                scratch_bytes: 200,
                tables_bytes: 100,
                available_bytes,
                context: 100,
            };
            assert_eq!((sizes.total_bytes(), sizes.fits()), (1000, fits));
        }
    }
}
