//! A conversation with a model: its cache, its scratch, its threads.

use crate::{Error, Model};
use blocks::TensorType;
use kernels::Isa;

/// How a session is made.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Tokens that the cache can hold; 0: what the model was trained for.
    pub context: usize,
    /// Type of the KV cache: F16 or F32.
    pub cache_type: TensorType,
    /// Tokens of a pass in prefill at most.
    pub batch: usize,
    /// Threads; 0: the physical cores that this process may use.
    pub threads: usize,
    /// Instruction set.
    pub isa: Isa,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { context: 0, cache_type: TensorType::F16, batch: 512, threads: 0, isa: Isa::detect() }
    }
}

/// A model at work. After it is made, feeding a token allocates nothing.
#[derive(Debug)]
pub struct Session<'m> {
    model: &'m Model,
}

impl<'m> Session<'m> {
    /// Reserves the cache's address space and allocates the scratch.
    pub fn new(_model: &'m Model, _options: &SessionOptions) -> Result<Self, Error> {
        todo!()
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// Tokens in the cache.
    pub fn position(&self) -> usize {
        todo!()
    }

    /// Tokens that the cache can hold.
    pub fn context(&self) -> usize {
        todo!()
    }

    /// Threads that work.
    pub fn n_threads(&self) -> usize {
        todo!()
    }

    /// Appends tokens (in passes of at most `batch`) and returns the logits after the last one.
    ///
    /// # Errors
    /// If they do not fit the context, or a token is not in the vocabulary; then nothing was appended.
    pub fn feed(&mut self, _tokens: &[u32]) -> Result<&[f32], Error> {
        todo!()
    }

    /// Appends tokens and calls `each(index, logits)` for those of them for which `wanted(index)` holds.
    pub fn feed_each(
        &mut self,
        _tokens: &[u32],
        _wanted: impl Fn(usize) -> bool,
        _each: impl FnMut(usize, &[f32]),
    ) -> Result<(), Error> {
        todo!()
    }

    /// Forgets all but the first `n` tokens.
    pub fn truncate(&mut self, _n: usize) {
        todo!()
    }
}
