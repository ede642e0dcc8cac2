//! A text's windows, all of them together, layer by layer.
//!
//! Whoever wants to know what the matrices of a model are multiplied with need not read a model bigger than memory once a
//! window: one layer after the other is enough, for all windows, if the residual streams of all are kept. A token takes
//! `dim` floats; the cache holds one layer of one window. The same kernels see the same numbers as in a session, so what
//! is seen has the same bits as by [`see_windows`](crate::see_windows).
//!
//! A layer may be run with other weights than the file's, and may leave the streams as they were: so a layer that was
//! quantized can be seen to act on what quantized layers below it made.

use crate::forward::{Batch, Forward, See};
use crate::kv_cache::KvCache;
use crate::source::Source;
use crate::{Config, Error, Matrix, Model, machine};
use blocks::TensorType;
use kernels::{CacheType, CacheTypes, Isa, Team};
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

/// Tokens of a window that go through a layer at once at most: beyond that only the scratch grows.
const MAX_BATCH: usize = 512;

/// What is not in the windows themselves.
#[derive(Clone, Debug)]
pub struct LayersOptions {
    /// Tokens of a window.
    pub context: usize,
    /// Threads; 0: [`n_cores`](crate::n_cores).
    pub threads: usize,
    /// Types that [`Layers::replace`] will bring.
    pub types: Vec<TensorType>,
}

/// The windows before a layer.
#[derive(Debug)]
pub struct Layers<'m> {
    model: &'m Model,
    source: Source<'m>,
    team: Team,
    cache: KvCache,
    forward: Forward,
    context: usize,
    batch: usize,
    n_windows: usize,
    /// A window's states, to be put back.
    saved: Vec<f32>,
}

impl<'m> Layers<'m> {
    /// Cuts a text as [`see_windows`](crate::see_windows) does, and embeds it.
    ///
    /// # Errors
    /// If the text is shorter than a window, has a token that the model has not, or memory or threads cannot be had.
    pub fn new(model: &'m Model, tokens: &[u32], options: &LayersOptions) -> Result<Self, Error> {
        let config = model.config();
        let context = options.context;
        if context == 0 {
            return Err(Error::Request("windows of 0 tokens show nothing".to_owned()));
        }
        if tokens.len() < context {
            return Err(Error::Request(format!(
                "the text has {} tokens, but one window takes {context}: take a longer text or shorter windows",
                tokens.len()
            )));
        }
        let (n_windows, batch) = (tokens.len() / context, context.min(MAX_BATCH));
        let tokens = &tokens[..n_windows * context];
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= config.n_vocab) {
            return Err(Error::Request(format!(
                "token {token} is not in the vocabulary: it has {}",
                config.n_vocab
            )));
        }
        let mut source = Source::Replaced(model, HashMap::new());
        let cache = KvCache::new(&Config { n_layers: 1, ..config.clone() }, context, CACHE)?;
        let mut forward = Forward::new(model, &source, tokens.len(), batch, false, &options.types)?;
        let n_threads = if options.threads == 0 { machine::n_cores() } else { options.threads };
        let team = Team::new(n_threads, Isa::detect())
            .map_err(|why| Error::Request(format!("cannot start {n_threads} threads: {why}")))?;
        let bos = model.tokenizer().with_bos(Vec::new()).first().copied();
        for (window, text) in tokens.chunks_exact(context).enumerate() {
            forward.embed(&mut source, window * context, text)?;
            if let Some(bos) = bos {
                forward.embed(&mut source, window * context, &[bos])?;
            }
        }
        Ok(Self { model, source, team, cache, forward, context, batch, n_windows, saved: Vec::new() })
    }

    /// Bytes that [`new`](Self::new) takes for so many windows, all its pages touched.
    pub fn n_bytes(model: &Model, n_windows: usize, context: usize) -> u64 {
        let config = model.config();
        let states = (n_windows as u64 + 1).saturating_mul((context * config.dim * size_of::<f32>()) as u64);
        let one = Config { n_layers: 1, ..config.clone() };
        let cache = KvCache::n_bytes(&one, context, CACHE).unwrap_or(u64::MAX);
        states.saturating_add(cache).saturating_add(Forward::n_bytes(model, context.min(MAX_BATCH)))
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// How many windows there are.
    pub fn n_windows(&self) -> usize {
        self.n_windows
    }

    /// Tokens of a window.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The residual streams, `dim` floats a token: all that the next layer depends on, and to be set where a run goes on.
    pub fn states(&mut self) -> &mut [f32] {
        let n = self.n_windows * self.context * self.model.config().dim;
        &mut self.forward.states()[..n]
    }

    /// Gives a matrix other weights, of one of the types that were announced, until [`restore`](Self::restore).
    ///
    /// # Panics
    /// When they are used, if they are not as many as the matrix has.
    pub fn replace(&mut self, matrix: &Matrix, ty: TensorType, bytes: Vec<u8>) {
        if let Source::Replaced(_, others) = &mut self.source {
            others.insert(matrix.tensor, (ty, bytes));
        }
    }

    /// Gives all matrices the file's weights again.
    pub fn restore(&mut self) {
        if let Source::Replaced(_, others) = &mut self.source {
            others.clear();
        }
    }

    /// Sends a window into a layer; `see(matrices, x)` sees what is multiplied with which matrices, a row of `n_cols` floats
    /// for each token of a batch, and ends that batch's way by [`ControlFlow::Break`]. The window's states stay what they
    /// were before.
    ///
    /// # Errors
    /// If weights cannot be read.
    pub fn look(&mut self, layer: usize, window: usize, see: See<'_>) -> Result<(), Error> {
        let dim = self.model.config().dim;
        let states = window * self.context * dim..(window + 1) * self.context * dim;
        let mut saved = std::mem::take(&mut self.saved);
        saved.clear();
        saved.extend_from_slice(&self.forward.states()[states.clone()]);
        let passed = self.window(layer, window, see);
        self.forward.states()[states].copy_from_slice(&saved);
        self.saved = saved;
        passed
    }

    /// Sends a window through a layer.
    fn window(&mut self, layer: usize, window: usize, see: See<'_>) -> Result<(), Error> {
        let Self { source, team, cache, forward, context, batch, .. } = self;
        for places in batches(window * *context..(window + 1) * *context, *batch) {
            let first = places.start - window * *context;
            forward.place(first, places.len());
            let batch = Batch { places, first, n_ending: 0 };
            forward.layer(source, team, (cache, 0), layer, batch, see)?;
        }
        Ok(())
    }

    /// Sends all windows through a layer: `see` is told which it is. `each(windows done)` may stop it.
    ///
    /// # Errors
    /// [`Error::Stopped`]; if weights cannot be read.
    pub fn layer(
        &mut self,
        layer: usize,
        mut each: impl FnMut(usize) -> ControlFlow<()>,
        mut see: impl FnMut(usize, &[&Matrix], &[f32]),
    ) -> Result<(), Error> {
        for window in 0..self.n_windows {
            self.window(layer, window, &mut |matrices, x| {
                see(window, matrices, x);
                ControlFlow::Continue(())
            })?;
            if each(window + 1).is_break() {
                return Err(Error::Stopped);
            }
        }
        Ok(())
    }

    /// Behind the last layer: what the output matrix is multiplied with in a window.
    pub fn before_output(&mut self, window: usize, see: &mut dyn FnMut(&[&Matrix], &[f32])) {
        let Self { source, team, forward, context, batch, .. } = self;
        for places in batches(window * *context..(window + 1) * *context, *batch) {
            forward.before_output(source, team, places, &mut |matrices, x| {
                see(matrices, x);
                ControlFlow::Continue(())
            });
        }
    }
}

/// Exact, as attention in the original is: what it costs is one layer's cache of one window.
const CACHE: CacheTypes = CacheTypes { k: CacheType::F32, v: CacheType::F32 };

fn batches(places: Range<usize>, batch: usize) -> impl Iterator<Item = Range<usize>> {
    let end = places.end;
    places.step_by(batch).map(move |start| start..end.min(start + batch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::{Random, Tiny};
    use crate::{Session, SessionOptions, see_windows};
    use std::collections::BTreeMap;

    fn tokens(n: usize) -> Vec<u32> {
        let mut random = Random(3);
        (0..n).map(|_| (random.next() % 300) as u32).collect()
    }

    #[test]
    fn layers_see_what_a_session_sees() {
        let model = Tiny::new().model();
        let tokens = tokens(50);
        let options = SessionOptions { context: 20, threads: 1, cache: Some(CACHE), ..Default::default() };
        let mut session = Session::new(&model, &options).unwrap();
        let mut expected: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
        let mut see = |_: usize, matrices: &[&Matrix], x: &[f32]| {
            expected.entry(matrices[0].tensor).or_default().extend_from_slice(x);
        };
        see_windows(&mut session, &tokens, 20, true, |_| ControlFlow::Continue(()), &mut see).unwrap();

        for threads in [1, 2] {
            let options = LayersOptions { context: 20, threads, types: vec![] };
            let mut layers = Layers::new(&model, &tokens, &options).unwrap();
            assert_eq!((layers.n_windows(), layers.context()), (2, 20));
            let mut seen: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
            let mut add = |matrices: &[&Matrix], x: &[f32]| {
                seen.entry(matrices[0].tensor).or_default().extend_from_slice(x);
            };
            for layer in 0..2 {
                let before = layers.states().to_vec();
                for stops in [1, 3, 9] {
                    let mut n = 0;
                    let look = layers.look(layer, 0, &mut |_, _| {
                        n += 1;
                        if n == stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    });
                    look.unwrap();
                    assert!(layers.states() == before && n == stops.min(4), "who looks changes nothing");
                }
                layers
                    .layer(layer, |_| ControlFlow::Continue(()), |_, matrices, x| add(matrices, x))
                    .unwrap();
                assert!(layers.states() != before);
            }
            (0..2).for_each(|window| layers.before_output(window, &mut add));
            assert!(seen == expected, "{threads} threads");
        }
    }

    #[test]
    fn other_weights_are_used_until_they_are_restored() {
        let model = Tiny::new().model();
        let types = vec![TensorType::F16];
        let options = LayersOptions { context: 20, threads: 1, types };
        let mut layers = Layers::new(&model, &tokens(20), &options).unwrap();
        let of = |layers: &mut Layers<'_>| {
            let mut inputs = Vec::new();
            let look = layers.look(0, 0, &mut |_, x| {
                inputs.extend_from_slice(x);
                ControlFlow::Continue(())
            });
            look.unwrap();
            inputs
        };
        let original = of(&mut layers);
        let matrix = &model.weights().layers[0].attn_v;
        layers.replace(matrix, TensorType::F16, vec![0; matrix.n_rows * matrix.n_cols * 2]);
        let zeroed = of(&mut layers);
        layers.restore();
        assert!(of(&mut layers) == original && zeroed != original);
        // With values of nothing, attention gives nothing: its output matrix is multiplied with zeros.
        let (dim, q_dim) = (64, 64);
        assert!(zeroed[20 * dim..][..20 * q_dim].iter().all(|&x| x == 0.0));
    }

    #[test]
    fn texts_that_make_no_window_are_refused_in_words() {
        let model = Tiny::new().model();
        for (tokens, context, words) in [
            (vec![5; 19], 20, "the text has 19 tokens"),
            (vec![5; 19], 0, "windows of 0"),
            (vec![300; 20], 20, "token 300 is not in the vocabulary"),
        ] {
            let options = LayersOptions { context, threads: 1, types: vec![] };
            let error = Layers::new(&model, &tokens, &options).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
