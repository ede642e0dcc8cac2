//! One pass through the model: tokens in, the residual stream out, of those from the first that someone wants logits for; then
//! these.
//!
//! A pass goes layer by layer, and in a layer batch by batch: however many tokens it has, it needs each weight during
//! one layer only, and all that grows with its length is the residual stream and the cache.
//!
//! Every operation is a serial step here that the team's threads share inside. All buffers are made once, for a full
//! pass; a shorter pass uses their beginnings, and pages that no pass has reached cost nothing.

use crate::kv_cache::KvCache;
use crate::profile::{Operation, Profile};
use crate::source::Source;
use crate::watch::Watch;
use crate::{Config, Error, Matrix, Model};
use blocks::TensorType;
use kernels::{Activations, Attention, RopeTable, Team};
use std::ops::{ControlFlow, Range};

/// Logits of several tokens at once read the output matrix once, which is the largest there is. Beyond some tokens
/// that gains nothing more, and a large vocabulary makes each dear: 32 rows of 32 000 are 4 MB.
const MAX_LOGITS_ROWS: usize = 32;
const MAX_LOGITS_BYTES: usize = 16 << 20;

/// Sees what each matrix is multiplied with: some matrices, and their input, a row of `n_cols` floats a token. It may end
/// the batch's way through the layer there.
pub(crate) type See<'a> = &'a mut dyn FnMut(&[&Matrix], &[f32]) -> ControlFlow<()>;

/// Tokens that go through all layers together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) tokens: &'a [u32],
    /// The place in the cache of the first.
    pub(crate) first: usize,
    /// The first of them that someone wants logits for: `tokens.len()` if none.
    pub(crate) first_wanted: usize,
}

/// Tokens of a pass that go through a layer at once.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Their places in the pass.
    pub(crate) places: Range<usize>,
    /// The place in the cache of the first.
    pub(crate) first: usize,
    /// How many of the first end here, with their keys and values, which is where most of a layer's work begins.
    pub(crate) n_ending: usize,
}

/// The buffers of a pass.
#[derive(Debug)]
pub(crate) struct Forward {
    x: Box<[f32]>,        // [pass][dim], the residual stream
    y: Box<[f32]>,        // [batch][dim], x normed, and what a half of a layer adds to x
    q: Box<[f32]>,        // [batch][n_heads][head_dim]
    k: Box<[f32]>,        // [batch][n_kv_heads][head_dim]
    v: Box<[f32]>,        // [batch][n_kv_heads][head_dim]
    attended: Box<[f32]>, // [batch][n_heads][head_dim]
    gate: Box<[f32]>,     // [batch][ffn_dim]
    up: Box<[f32]>,       // [batch][ffn_dim]
    logits: Box<[f32]>,   // [logits_rows][n_vocab]
    packed: Activations,  // what a product reads, as its weights want it
    rope: RopeTable,      // [batch][rope_dim / 2]
    rotates_keys: bool,   // queries too: see kernels::hadamard
    n_forgotten: usize,   // the rotation of a position is ahead of its place in the cache by them
    batch: usize,
    profile: Profile,
}

impl Forward {
    /// Room for passes of up to `pass` tokens, in batches of up to `batch`, with weights of the model's types and of
    /// `others`.
    pub(crate) fn new(
        model: &Model,
        source: &Source<'_>,
        pass: usize,
        batch: usize,
        rotates_keys: bool,
        others: &[TensorType],
    ) -> Result<Self, Error> {
        let config = model.config();
        let rope = RopeTable::new(config.rope_dim, config.rope_base, config.rope_scale, batch);
        let rope = match model.weights().rope_factors {
            Some(factors) => rope.with_factors(source.vector(factors)),
            None => rope,
        };
        let [x, y, q, k, v, attended, gate, up, logits] = buffers(config, batch);
        let mut types = types(model);
        types.extend(others);
        Ok(Self {
            x: zeroed(x.max(pass.saturating_mul(config.dim)))?,
            y: zeroed(y)?,
            q: zeroed(q)?,
            k: zeroed(k)?,
            v: zeroed(v)?,
            attended: zeroed(attended)?,
            gate: zeroed(gate)?,
            up: zeroed(up)?,
            logits: zeroed(logits)?,
            packed: Activations::new(batch, max_cols(config), &types),
            rope,
            rotates_keys,
            n_forgotten: 0,
            batch,
            profile: Profile::default(),
        })
    }

    /// Bytes that [`new`](Self::new) would allocate for passes of a batch.
    pub(crate) fn n_bytes(model: &Model, batch: usize) -> u64 {
        let config = model.config();
        let floats = buffers(config, batch).into_iter().chain([batch.saturating_mul(config.rope_dim)]);
        let float_bytes = floats.map(|n| n as u64 * size_of::<f32>() as u64).fold(0, u64::saturating_add);
        float_bytes.saturating_add(Activations::n_bytes(batch, max_cols(config), &types(model)) as u64)
    }

    /// Sends tokens through all layers. Their keys and values are in the cache afterwards, and the residual stream of those from
    /// the first that is wanted on waits for [`logits`](Self::logits). `watch` is told of each part that is done, and of how many.
    ///
    /// # Errors
    /// If weights cannot be read, or `watch` ends it.
    pub(crate) fn pass(
        &mut self,
        source: &mut Source<'_>,
        team: &Team,
        cache: &mut KvCache,
        Pass { tokens, first, first_wanted }: Pass<'_>,
        watch: &mut Watch<'_>,
        see: See<'_>,
    ) -> Result<(), Error> {
        let model = source.model();
        self.profile.begin();
        self.embed(source, 0, tokens)?;
        self.profile.end(Operation::Embedding);
        let step = self.batch;
        let batches = || (0..tokens.len()).step_by(step);
        let (n_batches, n_layers) = (batches().len(), model.config().n_layers);
        for l in 0..n_layers {
            for (i, start) in batches().enumerate() {
                let places = start..tokens.len().min(start + step);
                if l == 0 || n_batches > 1 {
                    self.place(first + start, places.len());
                    self.profile.end(Operation::Embedding);
                }
                let n_unwanted = places.len().min(first_wanted.saturating_sub(start));
                let n_ending = if l + 1 < n_layers { 0 } else { n_unwanted };
                let batch = Batch { places, first: first + start, n_ending };
                self.layer(source, team, (cache, l), l, batch, see)?;
                watch.tell(l * n_batches + i + 1, n_layers * n_batches)?;
                self.profile.begin(); // what it did belongs to no operation
            }
            source.end_layer();
        }
        Ok(())
    }

    /// Puts the embeddings of tokens into the residual stream, from its place `start` on.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn embed(
        &mut self,
        source: &mut Source<'_>,
        start: usize,
        tokens: &[u32],
    ) -> Result<(), Error> {
        let dim = source.model().config().dim;
        for (&token, x) in tokens.iter().zip(self.x[start * dim..].chunks_exact_mut(dim)) {
            source.embedding(token, x)?;
        }
        Ok(())
    }

    /// Prepares the rotation for a batch of `n` tokens at positions from `first`.
    pub(crate) fn place(&mut self, first: usize, n: usize) {
        self.rope.fill(self.n_forgotten + first, n);
    }

    /// The residual stream: `dim` floats a token.
    pub(crate) fn states(&mut self) -> &mut [f32] {
        &mut self.x
    }

    /// Sends a batch that was [placed](Self::place) through layer `l`, whose keys and values are those of a layer of the cache.
    pub(crate) fn layer(
        &mut self,
        source: &mut Source<'_>,
        team: &Team,
        (cache, cached): (&mut KvCache, usize),
        l: usize,
        Batch { places, first, n_ending }: Batch,
        see: See<'_>,
    ) -> Result<(), Error> {
        let model = source.model();
        let config = model.config();
        let Config { dim, ffn_dim, n_heads, n_kv_heads, head_dim, norm_eps, .. } = *config;
        let (n, q_dim, kv_dim) = (places.len(), config.q_dim(), config.kv_dim());
        let n_going_on = n - n_ending;
        let Self { packed, rope, rotates_keys, profile, .. } = self;
        let x = &mut self.x[places.start * dim..places.end * dim];
        let y = &mut self.y[..n * dim];
        let q = &mut self.q[..n_going_on * q_dim];
        let k = &mut self.k[..n * kv_dim];
        let v = &mut self.v[..n * kv_dim];
        let attended = &mut self.attended[..n_going_on * q_dim];
        let gate = &mut self.gate[..n_going_on * ffn_dim];
        let up = &mut self.up[..n_going_on * ffn_dim];
        let layer = &model.weights().layers[l];

        kernels::rms_norm(team, x, source.vector(layer.attn_norm), norm_eps, y);
        profile.end(Operation::Norm);
        if see(&[&layer.attn_q, &layer.attn_k, &layer.attn_v], y).is_break() {
            return Ok(());
        }
        if n_ending == 0 {
            let qkv = [(&layer.attn_q, &mut *q), (&layer.attn_k, k), (&layer.attn_v, v)];
            multiply(source, team, packed, y, qkv, profile, Operation::Qkv)?;
        } else {
            // Even without a token the queries' matrix comes first: weights that are streamed come in the order of the file.
            let going_on = &y[n_ending * dim..];
            multiply(source, team, packed, going_on, [(&layer.attn_q, &mut *q)], profile, Operation::Qkv)?;
            let kv = [(&layer.attn_k, &mut *k), (&layer.attn_v, v)];
            multiply(source, team, packed, y, kv, profile, Operation::Qkv)?;
        }
        kernels::rope(team, k, n_kv_heads, head_dim, rope);
        if n_ending > 0 {
            rope.fill(self.n_forgotten + first + n_ending, n_going_on);
        }
        kernels::rope(team, q, n_heads, head_dim, rope);
        if *rotates_keys {
            kernels::hadamard(team, q, head_dim);
            kernels::hadamard(team, k, head_dim);
        }
        profile.end(Operation::Rope);
        cache.store(team, cached, first, k, v);
        profile.end(Operation::Store);
        if n_going_on == 0 {
            return Ok(());
        }
        let (x, y) = (&mut x[n_ending * dim..], &mut y[n_ending * dim..]);
        let (k_cache, v_cache) = cache.layer(cached);
        kernels::attention(
            team,
            Attention {
                q,
                k_cache,
                v_cache,
                types: cache.types(),
                n_heads,
                n_kv_heads,
                head_dim,
                first: first + n_ending,
                out: attended,
            },
        );
        profile.end(Operation::Attention);
        if see(&[&layer.attn_output], attended).is_break() {
            return Ok(());
        }
        let output = [(&layer.attn_output, &mut *y)];
        multiply(source, team, packed, attended, output, profile, Operation::AttentionOutput)?;
        kernels::add(team, x, y);
        profile.end(Operation::Add);

        kernels::rms_norm(team, x, source.vector(layer.ffn_norm), norm_eps, y);
        profile.end(Operation::Norm);
        if see(&[&layer.ffn_gate, &layer.ffn_up], y).is_break() {
            return Ok(());
        }
        let gate_up = [(&layer.ffn_gate, &mut *gate), (&layer.ffn_up, up)];
        multiply(source, team, packed, y, gate_up, profile, Operation::GateUp)?;
        kernels::silu_mul(team, gate, up);
        profile.end(Operation::Silu);
        if see(&[&layer.ffn_down], gate).is_break() {
            return Ok(());
        }
        multiply(source, team, packed, gate, [(&layer.ffn_down, y)], profile, Operation::Down)?;
        kernels::add(team, x, y);
        profile.end(Operation::Add);
        Ok(())
    }

    /// Logits after some tokens of the last pass, by their places in it, from its `first_wanted` on: `n_vocab` numbers for each.
    ///
    /// # Errors
    /// If weights cannot be read.
    ///
    /// # Panics
    /// If there are more than [`logits_rows`], or a place is not in the pass.
    pub(crate) fn logits(
        &mut self,
        source: &mut Source<'_>,
        team: &Team,
        places: &[usize],
        see: See<'_>,
    ) -> Result<&[f32], Error> {
        let model = source.model();
        let Config { dim, n_vocab, norm_eps, .. } = *model.config();
        let weights = model.weights();
        let y = &mut self.y[..places.len() * dim];
        let logits = &mut self.logits[..places.len() * n_vocab];
        self.profile.begin();
        for (&place, y) in places.iter().zip(y.chunks_exact_mut(dim)) {
            kernels::rms_norm(
                team,
                &self.x[place * dim..][..dim],
                source.vector(weights.output_norm),
                norm_eps,
                y,
            );
        }
        self.profile.end(Operation::Norm);
        let _ = see(&[&weights.output], y);
        let product = [(&weights.output, &mut *logits)];
        multiply(source, team, &mut self.packed, y, product, &mut self.profile, Operation::Output)?;
        Ok(logits)
    }

    /// The positions before those in the cache, which are forgotten.
    pub(crate) fn n_forgotten(&mut self) -> &mut usize {
        &mut self.n_forgotten
    }

    /// The input of the output matrix, for tokens of a batch of the pass: `see` sees it.
    pub(crate) fn before_output(
        &mut self,
        source: &Source<'_>,
        team: &Team,
        batch: Range<usize>,
        see: See<'_>,
    ) {
        let model = source.model();
        let Config { dim, norm_eps, .. } = *model.config();
        let y = &mut self.y[..batch.len() * dim];
        let x = &self.x[batch.start * dim..batch.end * dim];
        kernels::rms_norm(team, x, source.vector(model.weights().output_norm), norm_eps, y);
        let _ = see(&[&model.weights().output], y);
    }

    /// Where the time went.
    pub(crate) fn profile(&mut self) -> &mut Profile {
        &mut self.profile
    }

    /// The logits that were computed last, from the first.
    pub(crate) fn last_logits(&self) -> &[f32] {
        &self.logits
    }
}

/// Multiplies matrices with the same activations, rows of `x`: packs these once.
fn multiply<const N: usize>(
    source: &mut Source<'_>,
    team: &Team,
    packed: &mut Activations,
    x: &[f32],
    products: [(&Matrix, &mut [f32]); N],
    profile: &mut Profile,
    operation: Operation,
) -> Result<(), Error> {
    packed.pack(team, x, products[0].0.n_cols, &products.each_ref().map(|(matrix, _)| source.ty(matrix)));
    profile.end(Operation::Pack);
    source.multiply(team, packed, products)?;
    profile.end(operation);
    Ok(())
}

/// Tokens whose logits are computed at once.
pub(crate) fn logits_rows(config: &Config, batch: usize) -> usize {
    let affordable = MAX_LOGITS_BYTES / size_of::<f32>() / config.n_vocab;
    affordable.clamp(1, MAX_LOGITS_ROWS).min(batch)
}

/// Floats of each buffer, in the order of [`Forward`]'s fields.
fn buffers(config: &Config, batch: usize) -> [usize; 9] {
    let Config { dim, ffn_dim, n_vocab, .. } = *config;
    let (q_dim, kv_dim) = (config.q_dim(), config.kv_dim());
    let [x, y, q, k, v, attended, gate, up] =
        [dim, dim, q_dim, kv_dim, kv_dim, q_dim, ffn_dim, ffn_dim].map(|n| n.saturating_mul(batch));
    [x, y, q, k, v, attended, gate, up, n_vocab.saturating_mul(logits_rows(config, batch))]
}

/// The longest row that a product reads.
fn max_cols(config: &Config) -> usize {
    config.dim.max(config.ffn_dim).max(config.q_dim())
}

/// The types that occur.
fn types(model: &Model) -> Vec<TensorType> {
    let mut types: Vec<TensorType> = model.weights().matrices().map(|matrix| matrix.ty).collect();
    types.sort_unstable();
    types.dedup();
    types
}

/// Zeros whose pages the system gives when they are written.
fn zeroed(n_floats: usize) -> Result<Box<[f32]>, Error> {
    bytemuck::allocation::try_zeroed_slice_box(n_floats).map_err(|()| {
        let mib = n_floats.saturating_mul(size_of::<f32>()).div_ceil(1 << 20);
        Error::Request(format!("cannot allocate {mib} MiB of scratch: shorter passes (--batch) need less"))
    })
}
