//! Perplexity as llama.cpp measures it.

use crate::{Error, Session};
use std::ops::ControlFlow;

/// How well a model predicts a text.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Perplexity {
    /// exp of the mean negative log-likelihood.
    pub perplexity: f64,
    /// Its standard error.
    pub error: f64,
    /// Tokens that were predicted.
    pub n_tokens: usize,
    /// Windows.
    pub n_windows: usize,
}

/// Windows of `context` tokens; BOS replaces each window's first token; positions n/2 … n−2 predict; the tail is
/// dropped. `each(windows done, windows in all, so far)` may stop it.
pub fn perplexity(
    _session: &mut Session<'_>,
    _tokens: &[u32],
    _context: usize,
    _each: impl FnMut(usize, usize, Perplexity) -> ControlFlow<()>,
) -> Result<Perplexity, Error> {
    todo!()
}
