//! A conversation with a model: its cache, its scratch, its threads.

use crate::forward::{Forward, Pass, See, logits_rows};
use crate::kv_cache::KvCache;
use crate::machine::MemoryWatch;
use crate::profile::Profile;
use crate::source::Source;
use crate::stream::{self, Stream, StreamOptions};
use crate::watch::Watch;
use crate::{Error, Matrix, MemoryPlan, Model, machine};
use kernels::{ATTENTION_TILE, CacheTypes, Isa, Team};
use std::ops::ControlFlow;

/// A pass reads every weight once for all its tokens: beyond some hundreds arithmetic is all that is left, and
/// longer passes only take more scratch.
const MAX_BATCH: usize = 4096;

/// Where each pass reads weights from the disk, one may be as long as a prompt; this keeps the address space of the
/// residual stream within a gigabyte.
const MAX_PASS: usize = 32_768;

/// More threads than any machine has cores.
const MAX_THREADS: usize = 1024;

/// Tokens at the beginning that may be kept when a full context forgets others.
const MAX_BEGINNING: usize = 1024;

/// How a session is made.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Tokens that the cache can hold; 0: what the model was trained for.
    pub context: usize,
    /// How the KV cache keeps keys and values; `None`: F16 where all fits with it, else Q8_0, which takes half as much.
    pub cache: Option<CacheTypes>,
    /// Whether keys that are quantized are rotated before, which makes them more exact. Others never are.
    pub rotate_keys: bool,
    /// Tokens of a pass in prefill at most. Results do not depend on it.
    pub batch: usize,
    /// Threads; 0: [`n_cores`](crate::n_cores).
    pub threads: usize,
    /// Instruction set.
    pub isa: Isa,
    /// Bytes that the process may take; `None`: what is available but for a margin. Results do not depend on it.
    pub max_ram: Option<u64>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            context: 0,
            cache: None,
            rotate_keys: true,
            batch: 512,
            threads: 0,
            isa: Isa::detect(),
            max_ram: None,
        }
    }
}

impl SessionOptions {
    /// Tokens that the cache should hold.
    pub(crate) fn context_for(&self, model: &Model) -> usize {
        if self.context == 0 { model.config().context_length } else { self.context }
    }

    /// Tokens of a pass at most.
    pub(crate) fn batch_for(&self, model: &Model) -> usize {
        self.batch.clamp(1, MAX_BATCH).min(self.context_for(model))
    }
}

/// A model at work. After it is made, feeding a token allocates nothing.
#[derive(Debug)]
pub struct Session<'m> {
    model: &'m Model,
    source: Source<'m>,
    team: Team,
    cache: KvCache,
    forward: Forward,
    position: usize,
    context: usize,
    batch: usize,
    /// Places in the current pass whose logits are wanted next.
    places: Vec<usize>,
    plan: MemoryPlan,
    /// Positions whose pages the cache has taken: the most there ever were.
    n_touched: usize,
    /// Tokens of the longest pass, whose residual stream has taken pages.
    n_longest: usize,
    watch: Watch<'m>,
    /// The first tokens, as many as may be kept.
    beginning: Vec<u32>,
    /// Where in the cache something was forgotten.
    gap: Option<usize>,
}

impl<'m> Session<'m> {
    /// Reserves the cache's address space and allocates the scratch.
    ///
    /// # Errors
    /// If the cache or the scratch cannot be had, or the system gives no threads. Memory that does not hold the weights
    /// is no error (see [`MemoryPlan::streaming`]), but less than the rest takes is.
    pub fn new(model: &'m Model, options: &SessionOptions) -> Result<Self, Error> {
        let plan = MemoryPlan::new(model, options);
        plan.check(model)?;
        let source = match plan.streaming {
            None => Source::Mapped(model),
            Some(_) => {
                let mut stream = Stream::new(model, StreamOptions::default())?;
                let mut memory = MemoryWatch::new(model.file().n_bytes());
                stream.give_way(plan.reserve_bytes(), stream::INTERVAL, move || memory.available_bytes())?;
                Source::Streamed(Box::new(stream))
            }
        };
        Self::of(model, options, plan, source)
    }

    /// With weights from a source of one's own.
    pub(crate) fn of(
        model: &'m Model,
        options: &SessionOptions,
        plan: MemoryPlan,
        source: Source<'m>,
    ) -> Result<Self, Error> {
        let (context, batch) = (plan.context as usize, plan.batch as usize);
        let n_threads = if options.threads == 0 { machine::n_cores() } else { options.threads };
        if n_threads > MAX_THREADS {
            return Err(Error::Request(format!(
                "{n_threads} threads are too many: {MAX_THREADS} at most (--threads)"
            )));
        }
        let cache = KvCache::new(model.config(), context, plan.cache)?;
        let pass = if plan.fits() { batch } else { context.min(MAX_PASS) };
        let rotates_keys = options.rotate_keys && plan.cache.k.is_quantized();
        let forward = Forward::new(model, &source, pass, batch, rotates_keys, &[])?;
        let team = Team::new(n_threads, options.isa).map_err(|why| {
            Error::Request(format!("cannot start {n_threads} threads: {why}. Fewer (--threads) may do"))
        })?;
        let places = Vec::with_capacity(logits_rows(model.config(), batch));
        Ok(Self {
            model,
            source,
            team,
            cache,
            forward,
            position: 0,
            context,
            batch,
            places,
            plan,
            n_touched: 0,
            n_longest: 0,
            watch: Watch::default(),
            beginning: Vec::with_capacity(context.min(MAX_BEGINNING)),
            gap: None,
        })
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// Tokens in the cache.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Tokens that the cache can hold.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Tokens of a pass at most.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Threads that work.
    pub fn n_threads(&self) -> usize {
        self.team.n_threads()
    }

    /// The instruction set that they use.
    pub fn isa(&self) -> Isa {
        self.team.isa()
    }

    /// What was planned before anything was allocated.
    pub fn memory_plan(&self) -> &MemoryPlan {
        &self.plan
    }

    /// Appends tokens (in passes of at most `batch`) and returns the logits after the last one.
    ///
    /// # Errors
    /// If there are none, they do not fit the context, or a token is not in the vocabulary; then nothing was appended.
    /// If the weights make logits that are no finite numbers.
    pub fn feed(&mut self, tokens: &[u32]) -> Result<&[f32], Error> {
        let Some(last) = tokens.len().checked_sub(1) else {
            return Err(Error::Request("there is no token to feed: the prompt is empty".to_owned()));
        };
        self.feed_each(tokens, |index| index == last, |_, _| ())?;
        Ok(self.logits())
    }

    /// The logits that [`feed`](Self::feed) returned last.
    pub(crate) fn logits(&self) -> &[f32] {
        &self.forward.last_logits()[..self.model.config().n_vocab]
    }

    /// Appends tokens and calls `each(index, logits)`, in order, for those of them for which `wanted(index)` holds.
    ///
    /// # Errors
    /// As of [`feed`](Self::feed), but no tokens at all are fine.
    pub fn feed_each(
        &mut self,
        tokens: &[u32],
        wanted: impl Fn(usize) -> bool,
        each: impl FnMut(usize, &[f32]),
    ) -> Result<(), Error> {
        self.append(tokens, wanted, each, false, &mut |_, _| ControlFlow::Continue(()))
    }

    /// The same, and `see(matrices, x)` sees what is multiplied with which matrices before it is: a row of `n_cols`
    /// floats for each token of a batch. The output matrix's are only those that are wanted.
    ///
    /// # Errors
    /// As of [`feed_each`](Self::feed_each).
    pub fn feed_seen(
        &mut self,
        tokens: &[u32],
        wanted: impl Fn(usize) -> bool,
        each: impl FnMut(usize, &[f32]),
        see: &mut dyn FnMut(&[&Matrix], &[f32]),
    ) -> Result<(), Error> {
        self.append(tokens, wanted, each, true, &mut |matrices, x| {
            see(matrices, x);
            ControlFlow::Continue(())
        })
    }

    /// Appends tokens. Those before the first that is wanted leave only keys and values in the last layer, unless they go on `to_the_end`.
    fn append(
        &mut self,
        tokens: &[u32],
        wanted: impl Fn(usize) -> bool,
        mut each: impl FnMut(usize, &[f32]),
        to_the_end: bool,
        see: See<'_>,
    ) -> Result<(), Error> {
        self.check(tokens)?;
        let n_vocab = self.model.config().n_vocab;
        let mut done = 0;
        for tokens in tokens.chunks(self.pass_tokens(tokens.len())) {
            let first_wanted = (0..tokens.len()).find(|place| to_the_end || wanted(done + place));
            self.pass(tokens, first_wanted.unwrap_or(tokens.len()), see)?;
            if self.beginning.len() == self.position {
                let room = self.beginning.capacity() - self.position;
                self.beginning.extend_from_slice(&tokens[..tokens.len().min(room)]);
            }
            self.position += tokens.len();
            let mut wanted = (0..tokens.len()).filter(|place| wanted(done + place)).peekable();
            while wanted.peek().is_some() {
                self.places.clear();
                let n = logits_rows(self.model.config(), self.batch);
                self.places.extend(wanted.by_ref().take(n));
                let Self { source, team, places, .. } = self;
                let logits = self.forward.logits(source, team, places, see)?;
                if !logits.iter().all(|logit| logit.is_finite()) {
                    return Err(Error::model(
                        self.model.file(),
                        "its logits are not finite numbers: some weights are damaged. \
                         `llamita inspect --verify` finds them"
                            .to_owned(),
                    ));
                }
                for (place, logits) in self.places.iter().zip(logits.chunks_exact(n_vocab)) {
                    each(done + place, logits);
                }
            }
            done += tokens.len();
        }
        Ok(())
    }

    /// Of `n` tokens that are to be fed, those that go through the layers in one pass. A mapped model is as fast with
    /// short passes. From a stream each pass reads all that is not kept, so all tokens go at once, if there is room to
    /// hold a layer until all their batches are through it.
    fn pass_tokens(&self, n: usize) -> usize {
        let n_touched = self.n_touched.max(self.position + n);
        if n > self.batch && self.plan.held_bytes(n_touched, n).is_some() {
            n.min(MAX_PASS)
        } else {
            self.batch
        }
    }

    /// Sends tokens through the layers, to their end from `first_wanted` on.
    fn pass(&mut self, tokens: &[u32], first_wanted: usize, see: See<'_>) -> Result<(), Error> {
        let (n, first) = (tokens.len(), self.position);
        let Self { source, team, cache, plan, .. } = self;
        self.n_touched = self.n_touched.max(first + n);
        let held_bytes = if n > self.batch { plan.held_bytes(self.n_touched, n) } else { None };
        if let Source::Streamed(stream) = source {
            stream.check()?;
            self.n_longest = self.n_longest.max(n);
            // Kept weights give way to keys, values, and what is held.
            let pinned_bytes = plan.pinned_bytes(self.n_touched, self.n_longest);
            stream.keep(pinned_bytes.saturating_sub(held_bytes.unwrap_or(0)));
            if let Some(bytes) = held_bytes {
                stream.hold(bytes / 2);
            }
        }
        let watch = if n > 1 { &mut self.watch } else { &mut Watch::default() };
        let pass = Pass { tokens, first, first_wanted };
        let passed = self.forward.pass(source, team, cache, pass, watch, see);
        if let (Source::Streamed(stream), Some(_)) = (source, held_bytes) {
            stream.release();
        }
        passed
    }

    /// Tells `told`, of each pass of several tokens from now on, how many of its parts are done, and of how many. It may
    /// end the pass: then [`Error::Stopped`] comes of it, and the pass has appended nothing.
    pub fn watch(&mut self, told: impl FnMut(usize, usize) -> ControlFlow<()> + 'm) {
        self.watch = Watch::new(told);
    }

    fn check(&self, tokens: &[u32]) -> Result<(), Error> {
        let n_vocab = self.model.config().n_vocab;
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= n_vocab) {
            return Err(Error::Request(format!("token {token} is not in the vocabulary: it has {n_vocab}")));
        }
        let room = self.context - self.position;
        if tokens.len() > room {
            return Err(Error::Request(format!(
                "{} more tokens do not fit: {} of the context's {} are taken. A larger context (--context) holds more",
                tokens.len(),
                self.position,
                self.context
            )));
        }
        Ok(())
    }

    /// Bytes of weights that were read since the session was made, where they are streamed.
    pub fn read_bytes(&self) -> u64 {
        match &self.source {
            Source::Mapped(_) | Source::Replaced(..) => 0,
            Source::Streamed(stream) => stream.read_bytes(),
        }
    }

    /// The time of each operation since the last call, or since the session was made.
    pub fn take_profile(&mut self) -> Profile {
        std::mem::take(self.forward.profile())
    }

    /// Forgets all but the first `n` tokens; does nothing if there are no more.
    pub fn truncate(&mut self, n: usize) {
        self.position = self.position.min(n);
        self.beginning.truncate(n);
        self.gap = self.gap.filter(|&gap| gap < n);
        if n == 0 {
            *self.forward.n_forgotten() = 0;
        }
    }

    /// Makes room in a context that is full: keeps the first `n_keep` tokens, and of those behind them forgets the older
    /// half. How many tokens there were between them and are no more.
    ///
    /// A text goes on without a break if its first tokens stay, on which much of the attention rests, and if keys are
    /// turned as though what is between had never been. Those of the text stay as they are, and it is the first tokens
    /// that are turned further, after the text: only the distance between two positions counts. For that they go
    /// through the layers anew, so each key in the cache has been rounded once, from the turn of its own position; no
    /// number of calls makes it less exact.
    ///
    /// Whole tiles of 64 are kept and forgotten, and at least one is kept.
    ///
    /// # Errors
    /// If there are fewer than two tiles. If weights cannot be read: then the session is empty.
    pub fn forget(&mut self, n_keep: usize) -> Result<usize, Error> {
        let n_kept = n_keep.max(1).next_multiple_of(ATTENTION_TILE);
        let n_kept = n_kept.min(self.beginning.len() / ATTENTION_TILE * ATTENTION_TILE);
        let n_others = self.position - n_kept;
        if n_kept == 0 || n_others < ATTENTION_TILE {
            return Err(Error::Request(format!(
                "a context of {} tokens is too short to forget a part of it and go on: it takes {} at least (--context)",
                self.context,
                3 * ATTENTION_TILE
            )));
        }
        let n_forgotten = (n_others / 2).next_multiple_of(ATTENTION_TILE);
        let n_left = self.position - n_forgotten;
        self.cache.forget(n_kept, n_forgotten, self.position);
        *self.forward.n_forgotten() += n_forgotten;

        let kept = std::mem::take(&mut self.beginning);
        self.position = 0;
        let mut turn = || -> Result<(), Error> {
            for tokens in kept[..n_kept].chunks(self.pass_tokens(n_kept)) {
                self.pass(tokens, tokens.len(), &mut |_, _| ControlFlow::Continue(()))?;
                self.position += tokens.len();
            }
            Ok(())
        };
        let turned = turn();
        self.beginning = kept;
        if let Err(error) = turned {
            self.truncate(0);
            return Err(error);
        }
        (self.position, self.gap) = (n_left, Some(n_kept));
        self.beginning.truncate(n_kept);
        Ok(n_forgotten)
    }

    /// Tokens from the beginning up to where something was forgotten.
    pub fn n_unbroken(&self) -> usize {
        self.gap.unwrap_or(self.position)
    }
}

#[cfg(test)]
impl<'m> Session<'m> {
    /// Changes the budget, so that `bytes` of the weights may stay at the next token.
    pub(crate) fn keep(&mut self, bytes: u64) {
        self.plan.budget_bytes = 1 << 40;
        self.plan.budget_bytes -= self.plan.pinned_bytes(self.position + 1, 0) - bytes;
    }

    pub(crate) fn stream(&mut self) -> Option<&mut Stream<'m>> {
        match &mut self.source {
            Source::Mapped(_) | Source::Replaced(..) => None,
            Source::Streamed(stream) => Some(stream),
        }
    }

    pub(crate) fn kept_bytes(&self) -> u64 {
        match &self.source {
            Source::Mapped(_) | Source::Replaced(..) => 0,
            Source::Streamed(stream) => stream.kept_bytes(),
        }
    }
}

#[cfg(test)]
mod tests;
