//! Token after token.

use crate::{Error, Sampler, Session};
use std::ops::ControlFlow;
use std::time::Duration;

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model said so.
    End,
    /// `max_tokens` were made.
    Length,
    /// The context is full.
    ContextFull,
    /// The caller stopped it.
    Stopped,
}

/// What a generation did.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Why it ended.
    pub stop: StopReason,
    /// Tokens of the prompt.
    pub n_prompt: usize,
    /// Tokens made, an end token not counted.
    pub n_generated: usize,
    /// Time for the prompt.
    pub prefill: Duration,
    /// Time for the rest.
    pub decode: Duration,
}

/// Feeds `prompt` (not empty), then chooses up to `max_tokens` tokens and hands each to `each`. When it returns, the
/// session holds the prompt and every token that was handed out.
pub fn generate(
    _session: &mut Session<'_>,
    _sampler: &mut Sampler,
    _prompt: &[u32],
    _max_tokens: usize,
    _each: impl FnMut(u32) -> ControlFlow<()>,
) -> Result<Generation, Error> {
    todo!()
}
