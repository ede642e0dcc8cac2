//! What a model will take, before anything is taken: one budget, and what each part of it is for.
//!
//! A model that fits is used where it lies in the mapped file. Of one that does not, the plan keeps as much in memory as
//! the other parts leave, and the rest is read once for each pass (see [`stream`](crate::stream)). The cache grows with
//! the text; what it takes, kept weights give back.

use crate::forward::Forward;
use crate::kv_cache::KvCache;
use crate::stream::StreamOptions;
use crate::{Error, Model, SessionOptions, Speeds, machine};
use kernels::{ATTENTION_TILE, CacheType, CacheTypes};

/// What a byte of the header becomes on the heap: the metadata, and the tokenizer's copy with its index. Measured: 2.2
/// for Llama 2's 32 000 tokens, 2.5 for 4096.
const TABLES_PER_HEADER: u64 = 3;

/// The program itself: its code, the stacks of its threads, what the allocator holds on to.
const PROGRAM_BYTES: u64 = 12 << 20;

/// Of what is available, the part that others may come to want, and that keeps a limit from being touched: a twentieth,
/// but between these.
const MIN_MARGIN_BYTES: u64 = 48 << 20;
const MAX_MARGIN_BYTES: u64 = 512 << 20;

/// What stays free even if a budget leaves less.
const MIN_RESERVE_BYTES: u64 = 8 << 20;

/// Tokens of a pass at most where weights are streamed: kernels are about as fast as with more, and scratch is memory
/// that weights could be kept in. It may also take a part of the budget only, down to a few tokens.
const STREAMED_BATCH: usize = 128;
const MIN_STREAMED_BATCH: usize = 8;
const SCRATCH_PART: u64 = 8;

/// Bytes by purpose.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MemoryPlan {
    /// Weights in the file.
    pub weights_bytes: u64,
    /// Weights that a pass needs: all but the embedding, of which it needs a row a token.
    pub pass_bytes: u64,
    /// How the KV cache is kept: as was asked, else F16 if all fits with it, else Q8_0.
    #[serde(serialize_with = "as_text")]
    pub cache: CacheTypes,
    /// KV cache when the context is full; it grows from nothing.
    pub kv_cache_bytes: u64,
    /// One token's share of it.
    pub kv_bytes_per_token: u64,
    /// Scratch of a session.
    pub scratch_bytes: u64,
    /// What a token of a pass that is longer than a batch takes on top.
    pub residual_bytes: u64,
    /// Tokenizer and tables, and the program.
    pub tables_bytes: u64,
    /// What this process may use: the least of MemAvailable, its cgroups' and its resource limits; `u64::MAX` where
    /// the system tells none of them.
    pub available_bytes: u64,
    /// What the plan divides: what was asked for, or what is available but for a margin.
    pub budget_bytes: u64,
    /// Tokens of context.
    pub context: u64,
    /// Tokens that go through a layer together at most.
    pub batch: u64,
    /// How weights are streamed; `None`: all fits, and they are used where they lie in the mapped file.
    pub streaming: Option<Streaming>,
}

/// What a model takes that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Streaming {
    /// Buffers for what comes from the disk, and vectors.
    pub ring_bytes: u64,
    /// Weights that stay in memory when the cache is empty; each token in it takes its share of them.
    pub pinned_bytes: u64,
    /// Weights of the largest layer.
    pub layer_bytes: u64,
    /// The least budget that this context can do with.
    pub minimum_bytes: u64,
}

impl MemoryPlan {
    /// Computes it; allocates nothing of it. A size beyond 64 bits is `u64::MAX`.
    pub fn new(model: &Model, options: &SessionOptions) -> Self {
        Self::of_size(model, options, 1.0)
    }

    /// The same if each weight took `part` of its bytes.
    pub fn of_size(model: &Model, options: &SessionOptions, part: f64) -> Self {
        let with = |ty| Self::with_cache(model, options, part, options.cache.unwrap_or(CacheTypes::both(ty)));
        let plan = with(CacheType::F16);
        if plan.fits() { plan } else { with(CacheType::Q8_0) }
    }

    fn with_cache(model: &Model, options: &SessionOptions, part: f64, cache: CacheTypes) -> Self {
        let of_size = |n_bytes: u64| (n_bytes as f64 * part) as u64;
        let unread = if model.is_tied() {
            0
        } else {
            model.file().tensors()[model.weights().token_embd.tensor].n_bytes
        };
        let available_bytes = machine::available_bytes(model.file().n_bytes());
        let budget_bytes = options.max_ram.unwrap_or(match available_bytes {
            u64::MAX => u64::MAX,
            n => n.saturating_sub(margin_bytes(n)),
        });
        let (context, batch) = (options.context_for(model), options.batch_for(model));
        let mut plan = Self {
            weights_bytes: of_size(model.weights().n_bytes),
            pass_bytes: of_size(model.weights().n_bytes - unread),
            cache,
            kv_cache_bytes: 0,
            kv_bytes_per_token: KvCache::bytes_per_token(model.config(), cache).unwrap_or(u64::MAX),
            scratch_bytes: Forward::n_bytes(model, batch),
            residual_bytes: (model.config().dim * size_of::<f32>()) as u64,
            tables_bytes: header_bytes(model.file()).saturating_mul(TABLES_PER_HEADER) + PROGRAM_BYTES,
            available_bytes,
            budget_bytes,
            context: 0,
            batch: batch as u64,
            streaming: None,
        };
        plan.set_context(context as u64);
        if plan.total_bytes() > budget_bytes {
            plan.stream(model, options, of_size(model.layer_bytes()));
        }
        plan
    }

    /// The same for weights that do not fit.
    fn stream(&mut self, model: &Model, options: &SessionOptions, layer_bytes: u64) {
        let ring_bytes = StreamOptions::default().n_bytes(model);
        let least_bytes = self.tables_bytes + ring_bytes;

        let smaller = |batch: usize| (batch / 2 >= MIN_STREAMED_BATCH).then_some(batch / 2);
        let mut batches =
            std::iter::successors(Some(options.batch_for(model).min(STREAMED_BATCH)), |&n| smaller(n));
        let scratch = |batch| Forward::n_bytes(model, batch);
        let affordable = |&batch: &usize| scratch(batch) <= self.budget_bytes / SCRATCH_PART;
        let batch = batches.find(affordable).unwrap_or(MIN_STREAMED_BATCH.min(self.context as usize));
        (self.batch, self.scratch_bytes) = (batch as u64, scratch(batch));

        // A context that nobody asked for may be as long as there is room.
        let fixed_bytes = least_bytes.saturating_add(self.scratch_bytes);
        if options.context == 0 {
            let tile = ATTENTION_TILE as u64;
            let room = self.budget_bytes.saturating_sub(fixed_bytes) / self.kv_bytes_per_token;
            self.set_context(self.context.min((room / tile * tile).max(tile)));
        }
        let pinned_bytes = self.budget_bytes.saturating_sub(fixed_bytes);
        self.streaming = Some(Streaming {
            ring_bytes,
            pinned_bytes: pinned_bytes.min(self.pass_bytes),
            layer_bytes,
            minimum_bytes: least_bytes
                .saturating_add(scratch(MIN_STREAMED_BATCH.min(batch)))
                .saturating_add(self.kv_cache_bytes),
        });
    }

    fn set_context(&mut self, tokens: u64) {
        self.context = tokens;
        self.kv_cache_bytes = self.kv_bytes(tokens);
    }

    /// Bytes of the cache that hold so many tokens: whole tiles of them.
    fn kv_bytes(&self, tokens: u64) -> u64 {
        let positions = tokens.checked_next_multiple_of(ATTENTION_TILE as u64).unwrap_or(u64::MAX);
        positions.saturating_mul(self.kv_bytes_per_token)
    }

    /// Weights that may stay in memory beside a cache of `n_cached` tokens, where weights are streamed, if passes have had
    /// up to `n_pass` tokens.
    pub(crate) fn pinned_bytes(&self, n_cached: usize, n_pass: usize) -> u64 {
        let ring_bytes = self.streaming.as_ref().map_or(0, |streaming| streaming.ring_bytes);
        let residual = (n_pass as u64).saturating_sub(self.batch).saturating_mul(self.residual_bytes);
        let parts =
            [ring_bytes, self.tables_bytes, self.scratch_bytes, self.kv_bytes(n_cached as u64), residual];
        self.budget_bytes.saturating_sub(parts.into_iter().fold(0, u64::saturating_add))
    }

    /// What a pass of more than a batch holds of the weights at a time: what is streamed of a layer, and as much of the
    /// next one, so that the disk does not wait. `None`: there is no room for it, or nothing is streamed.
    pub(crate) fn held_bytes(&self, n_cached: usize, n_pass: usize) -> Option<u64> {
        let Streaming { layer_bytes, .. } = self.streaming.as_ref()?;
        let (room, most, pass_bytes) =
            (self.pinned_bytes(n_cached, n_pass), 2 * layer_bytes, self.pass_bytes);
        // What the rest of the room keeps of the weights, it keeps of each layer.
        let kept = room.checked_sub(most)?.min(pass_bytes);
        Some((u128::from(most) * u128::from(pass_bytes - kept) / u128::from(pass_bytes)) as u64)
    }

    /// What is to stay free of what is available, for others, and so that a limit is never met: the margin, or what is
    /// left of it beside a budget that was asked for.
    pub(crate) fn reserve_bytes(&self) -> u64 {
        let left = self.available_bytes.saturating_sub(self.budget_bytes);
        left.clamp(MIN_RESERVE_BYTES, margin_bytes(self.available_bytes))
    }

    /// What a pass reads from the disk when `n_cached` tokens stand in the cache.
    pub fn streamed_bytes(&self, n_cached: u64) -> u64 {
        match self.streaming {
            None => 0,
            Some(_) => self.pass_bytes.saturating_sub(self.pinned_bytes(n_cached as usize, 0)),
        }
    }

    /// Tokens of text a second on a machine of these speeds, when `n_cached` stand in the cache: the disk reads while
    /// there is something to compute, so what takes longer counts.
    pub fn tokens_per_second(&self, speeds: &Speeds, n_cached: u64) -> f64 {
        let used_bytes = self.pass_bytes.saturating_add(n_cached.saturating_mul(self.kv_bytes_per_token));
        let compute = used_bytes as f64 / speeds.weight_bytes_per_second;
        let disk = self.streamed_bytes(n_cached) as f64 / speeds.disk_bytes_per_second;
        1.0 / compute.max(disk)
    }

    /// Whether a session can be made of it.
    ///
    /// # Errors
    /// If weights are streamed, and the budget is below what that takes at least.
    pub(crate) fn check(&self, model: &Model) -> Result<(), Error> {
        let Some(Streaming { minimum_bytes, .. }) = self.streaming else { return Ok(()) };
        if minimum_bytes <= self.budget_bytes {
            return Ok(());
        }
        Err(Error::model(
            model.file(),
            format!(
                "with {} tokens of context it takes {} MiB of memory at least, but may take {} MiB: \
                 a smaller --context, a smaller --cache-type or a larger --max-ram helps",
                self.context,
                minimum_bytes.div_ceil(1 << 20),
                self.budget_bytes >> 20
            ),
        ))
    }

    /// Weights, full cache, scratch and tables.
    pub fn total_bytes(&self) -> u64 {
        let Self { weights_bytes, kv_cache_bytes, scratch_bytes, tables_bytes, .. } = *self;
        [weights_bytes, kv_cache_bytes, scratch_bytes, tables_bytes].into_iter().fold(0, u64::saturating_add)
    }

    /// Whether all of it fits the budget.
    pub fn fits(&self) -> bool {
        self.streaming.is_none()
    }
}

fn as_text<S: serde::Serializer>(cache: &CacheTypes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cache)
}

fn margin_bytes(available_bytes: u64) -> u64 {
    (available_bytes / 20).clamp(MIN_MARGIN_BYTES, MAX_MARGIN_BYTES)
}

/// Bytes before the first tensor.
fn header_bytes(file: &gguf::File) -> u64 {
    file.tensors().iter().map(|tensor| tensor.offset).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::Tiny;
    use blocks::TensorType;
    use kernels::{CacheType, CacheTypes};

    #[test]
    fn a_plan_counts_what_a_session_takes() {
        let model = Tiny::new().model();
        let plan = |context, k, v, batch| {
            let cache = CacheTypes { k, v };
            MemoryPlan::new(
                &model,
                &SessionOptions { context, cache: Some(cache), batch, ..Default::default() },
            )
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
    fn a_budget_is_divided() {
        let model = Tiny { ty: TensorType::F32, ..Tiny::new() }.model();
        let plan = |max_ram, context| {
            let cache = Some(CacheTypes::both(CacheType::F16));
            let options = SessionOptions { max_ram: Some(max_ram), context, cache, ..Default::default() };
            MemoryPlan::new(&model, &options)
        };
        let all = plan(u64::MAX, 128);
        assert!(all.fits() && all.total_bytes() < 20 << 20, "{all:?}");
        assert_eq!(plan(all.total_bytes(), 128).streaming, None);
        for (budget, context) in [(all.total_bytes() - 1, 128), (all.total_bytes() / 2, 1), (0, 128), (0, 0)]
        {
            let plan = plan(budget, context);
            let streaming = plan.streaming.clone().expect("it does not fit");
            let embedding = 300 * 64 * 4;
            assert_eq!(plan.pass_bytes, plan.weights_bytes - embedding);
            let pinned = plan.pinned_bytes(0, 0).min(plan.pass_bytes);
            assert_eq!(streaming.pinned_bytes, pinned, "{plan:?}");
            assert_eq!(plan.check(&model).is_ok(), streaming.minimum_bytes <= budget, "{plan:?}");
        }
        // What a token takes is taken from the weights.
        let full = plan(40 << 20, 1 << 20);
        let per_tile = 64 * full.kv_bytes_per_token;
        assert_eq!(full.pinned_bytes(0, 0) - full.pinned_bytes(1, 0), per_tile);
        assert_eq!(full.pinned_bytes(64, 0) - full.pinned_bytes(65, 0), per_tile);
    }

    #[test]
    fn the_plan_chooses_the_cache() {
        let mut tiny = Tiny { ty: TensorType::F32, ..Tiny::new() };
        tiny.config.head_dim = 32;
        let model = tiny.model();
        let plan = |max_ram, cache| {
            MemoryPlan::new(&model, &SessionOptions { max_ram: Some(max_ram), cache, ..Default::default() })
        };
        let (f16, q8_0) = (CacheTypes::both(CacheType::F16), CacheTypes::both(CacheType::Q8_0));
        let all = plan(u64::MAX, None);
        assert_eq!(all.cache, f16);
        let less = plan(all.total_bytes() - 1, None);
        assert_eq!((less.cache, less.fits()), (q8_0, true));
        assert_eq!((plan(0, None).cache, plan(0, Some(f16)).cache), (q8_0, f16));
    }

    #[test]
    fn a_token_takes_what_the_slower_part_takes() {
        let model = Tiny { ty: TensorType::F32, ..Tiny::new() }.model();
        let plan = |max_ram, part| {
            let cache = Some(CacheTypes::both(CacheType::F16));
            let options =
                SessionOptions { max_ram: Some(max_ram), context: 1 << 20, cache, ..Default::default() };
            MemoryPlan::of_size(&model, &options, part)
        };
        let speeds = |disk, weights| Speeds {
            disk_bytes_per_second: disk,
            disk_readers: Some(2),
            weight_bytes_per_second: weights,
        };
        let all = plan(u64::MAX, 1.0);
        let computed = all.pass_bytes as f64 / 1e6;
        assert_eq!(all.tokens_per_second(&speeds(1.0, 1e6), 0), 1.0 / computed, "nothing is read");
        // Half of the weights fit, and a cache of as many tokens as take a quarter.
        let budget = 40 << 20;
        let spent = budget - plan(budget, 1.0).pinned_bytes(0, 0);
        let half = plan(spent + all.pass_bytes / 2, 1.0);
        let streamed = half.streamed_bytes(0);
        assert_eq!(streamed, half.pass_bytes - half.streaming.as_ref().unwrap().pinned_bytes);
        assert!(streamed.abs_diff(all.pass_bytes / 2) <= 1, "{half:?}");
        let n_cached = (all.pass_bytes / 4 / (64 * all.kv_bytes_per_token)) * 64;
        assert_eq!(half.streamed_bytes(n_cached), streamed + n_cached * all.kv_bytes_per_token);
        assert_eq!(half.tokens_per_second(&speeds(1e3, 1e9), 0), 1.0 / (streamed as f64 / 1e3));
        assert_eq!(half.tokens_per_second(&speeds(1e9, 1e6), 0), 1.0 / computed);
        let smaller = plan(budget, 0.5);
        assert!(smaller.weights_bytes.abs_diff(all.weights_bytes / 2) <= 1, "{smaller:?}");
    }

    #[test]
    fn what_is_beyond_the_machine_does_not_fit() {
        let model = Tiny::new().model();
        let plan = MemoryPlan::new(&model, &SessionOptions { context: usize::MAX, ..Default::default() });
        assert_eq!((plan.kv_cache_bytes, plan.total_bytes()), (u64::MAX, u64::MAX));
        let words = plan.check(&model).unwrap_err().to_string();
        assert!(!plan.fits() && words.contains("--context"), "{words}");
    }
}
