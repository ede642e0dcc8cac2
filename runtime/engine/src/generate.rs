//! Token after token.

use crate::{Error, Sampler, Session};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

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
    /// Time for the rest, `each` included.
    pub decode: Duration,
}

/// Feeds `prompt` (not empty), then chooses up to `max_tokens` tokens and hands each to `each`. An end token is not
/// handed out and not fed.
///
/// When it returns, the session holds the prompt and every token that was handed out, so that a conversation goes on
/// from there: the last token is fed too, also where the caller stops. That is one pass more than the choosing needs.
/// The sampler was told of the same tokens. After the session and the sampler are made, this allocates nothing.
///
/// # Errors
/// If the prompt is empty, does not fit the rest of the context, or has a token that the model does not know; then
/// nothing was appended. A context that fills up later is no error, but [`StopReason::ContextFull`].
pub fn generate(
    session: &mut Session<'_>,
    sampler: &mut Sampler,
    prompt: &[u32],
    max_tokens: usize,
    mut each: impl FnMut(u32) -> ControlFlow<()>,
) -> Result<Generation, Error> {
    let tokenizer = session.model().tokenizer();
    let context = session.context();
    let start = Instant::now();
    let mut n_held = session.position() + prompt.len();
    let mut logits = session.feed(prompt)?;
    let prefill = start.elapsed();
    for &token in prompt {
        sampler.accept(token);
    }

    let start = Instant::now();
    let mut n_generated = 0;
    let stop = loop {
        if n_generated == max_tokens {
            break StopReason::Length;
        }
        let token = sampler.sample(logits);
        if tokenizer.is_end(token) {
            break StopReason::End;
        }
        if n_held == context {
            break StopReason::ContextFull;
        }
        let flow = each(token);
        sampler.accept(token);
        logits = session.feed(&[token])?;
        n_held += 1;
        n_generated += 1;
        if flow.is_break() {
            break StopReason::Stopped;
        }
    };
    Ok(Generation { stop, n_prompt: prompt.len(), n_generated, prefill, decode: start.elapsed() })
}
