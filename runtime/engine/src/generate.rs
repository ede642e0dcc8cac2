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
    /// Those of them that were fed: what the time of the rest went into.
    pub n_fed: usize,
    /// Time for the prompt.
    pub prefill: Duration,
    /// Time for the rest, `each` included.
    pub decode: Duration,
    /// Bytes of weights that were read from the disk for the prompt; 0 where they are mapped.
    pub prefill_read_bytes: u64,
    /// Likewise for the rest.
    pub decode_read_bytes: u64,
}

/// What happens when the context is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// The text ends.
    Stop,
    /// It goes on: [`Session::forget`] keeps the first `n_keep` tokens.
    Forget {
        /// Tokens that stay.
        n_keep: usize,
    },
}

/// Feeds `prompt` (not empty), then chooses up to `max_tokens` tokens and hands each to `each`. An end token is not
/// handed out and not fed.
///
/// When it returns, the session holds the prompt and the tokens that were handed out, but for the last where the caller stops or
/// `max_tokens` are made: nothing is chosen after it, and a pass may take a minute. Who goes on feeds it with what follows.
/// The sampler was told of all of them. After the session and the sampler are made, this allocates nothing.
///
/// # Errors
/// If the prompt is empty, does not fit the rest of the context, or has a token that the model does not know; then
/// nothing was appended. A context that fills up later is no error, but what `on_full` says.
pub fn generate(
    session: &mut Session<'_>,
    sampler: &mut Sampler,
    prompt: &[u32],
    max_tokens: usize,
    on_full: OnFull,
    mut each: impl FnMut(u32) -> ControlFlow<()>,
) -> Result<Generation, Error> {
    let tokenizer = session.model().tokenizer();
    let context = session.context();
    let start = Instant::now();
    let before_bytes = session.read_bytes();
    session.feed(prompt)?;
    let prefill = start.elapsed();
    let prompt_bytes = session.read_bytes();
    for &token in prompt {
        sampler.accept(token);
    }

    let start = Instant::now();
    let (mut n_generated, mut unfed) = (0, None);
    let stop = loop {
        if n_generated == max_tokens {
            break StopReason::Length;
        }
        if let Some(token) = unfed.take() {
            session.feed(&[token])?;
        }
        let token = sampler.sample(session.logits());
        if tokenizer.is_end(token) {
            break StopReason::End;
        }
        if session.position() == context {
            match on_full {
                OnFull::Stop => break StopReason::ContextFull,
                OnFull::Forget { n_keep } => session.forget(n_keep)?,
            };
        }
        let flow = each(token);
        sampler.accept(token);
        (unfed, n_generated) = (Some(token), n_generated + 1);
        if flow.is_break() {
            break StopReason::Stopped;
        }
    };
    Ok(Generation {
        stop,
        n_prompt: prompt.len(),
        n_generated,
        n_fed: n_generated - usize::from(unfed.is_some()),
        prefill,
        decode: start.elapsed(),
        prefill_read_bytes: prompt_bytes - before_bytes,
        decode_read_bytes: session.read_bytes() - prompt_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::Tiny;
    use crate::{Model, SamplerOptions, SessionOptions};

    fn session(model: &Model, context: usize) -> Session<'_> {
        Session::new(model, &SessionOptions { context, threads: 1, ..SessionOptions::default() }).unwrap()
    }

    fn sampler(temperature: f32) -> Sampler {
        Sampler::new(SamplerOptions { temperature, seed: 9, ..SamplerOptions::default() }, 300)
    }

    /// Tokens and reason; `n_wanted` are taken before the caller stops.
    fn run(
        session: &mut Session<'_>,
        sampler: &mut Sampler,
        prompt: &[u32],
        max_tokens: usize,
        n_wanted: usize,
    ) -> (Vec<u32>, StopReason) {
        let mut tokens = Vec::new();
        let generation = generate(session, sampler, prompt, max_tokens, OnFull::Stop, |token| {
            tokens.push(token);
            if tokens.len() == n_wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        assert_eq!(generation.n_prompt, prompt.len());
        assert_eq!(generation.n_generated, tokens.len());
        (tokens, generation.stop)
    }

    #[test]
    fn the_session_holds_what_was_handed_out_but_for_the_last() {
        let model = Tiny::new().model();
        for (max_tokens, n_wanted, n_expected, reason) in [
            (5, usize::MAX, 5, StopReason::Length),
            (0, usize::MAX, 0, StopReason::Length),
            (50, 3, 3, StopReason::Stopped),
            (50, usize::MAX, 17, StopReason::ContextFull),
            (17, usize::MAX, 17, StopReason::Length),
        ] {
            let mut session = session(&model, 20);
            let (tokens, stop) = run(&mut session, &mut sampler(1.0), &[1, 270, 280], max_tokens, n_wanted);
            assert_eq!((tokens.len(), stop), (n_expected, reason));
            let n_unfed = usize::from(n_expected > 0 && stop != StopReason::ContextFull);
            assert_eq!(session.position(), 3 + n_expected - n_unfed);
        }
    }

    #[test]
    fn a_full_context_may_forget_and_go_on() {
        let model = Tiny::new().model();
        let text = |context: usize, threads: usize| {
            let options = SessionOptions { context, threads, ..SessionOptions::default() };
            let mut session = Session::new(&model, &options).unwrap();
            let mut tokens = Vec::new();
            let result = generate(
                &mut session,
                &mut sampler(1.0),
                &[1, 270, 280],
                400,
                OnFull::Forget { n_keep: 1 },
                |token| {
                    tokens.push(token);
                    ControlFlow::Continue(())
                },
            );
            result.map(|generation| (tokens, generation.stop, session.position() <= context))
        };
        let (tokens, stop, is_inside) = text(192, 1).unwrap();
        assert_eq!((tokens.len(), stop, is_inside), (400, StopReason::Length, true));
        assert_eq!(text(192, 3).unwrap().0, tokens, "whatever the threads");
        assert_eq!(text(1024, 1).unwrap().0[..189], tokens[..189], "nothing changes before");
        let error = text(100, 1).unwrap_err().to_string();
        assert!(error.contains("--context"), "{error}");
    }

    #[test]
    fn a_second_call_goes_on_from_the_first() {
        let model = Tiny::new().model();
        let mut one = session(&model, 64);
        let (first, _) = run(&mut one, &mut sampler(0.0), &[1, 270], 6, usize::MAX);
        let (second, _) = run(&mut one, &mut sampler(0.0), &[first[5], 290], 6, usize::MAX);
        // The same tokens, fed at once.
        let mut two = session(&model, 64);
        let whole: Vec<u32> = [1, 270].into_iter().chain(first).chain([290]).collect();
        assert_eq!(run(&mut two, &mut sampler(0.0), &whole, 6, usize::MAX).0, second);
    }

    #[test]
    fn an_end_token_is_neither_handed_out_nor_fed() {
        let model = Tiny::new().model();
        let (tokens, _) = run(&mut session(&model, 64), &mut sampler(0.0), &[1, 270], 8, usize::MAX);
        // The same weights, but the third distinct token of that text is the end.
        let at = (1..tokens.len()).find(|&at| !tokens[..at].contains(&tokens[at])).unwrap();
        let tiny = Tiny::new();
        let mut metadata = tiny.metadata();
        metadata.set("tokenizer.ggml.eos_token_id", tokens[at]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("end.gguf");
        crate::tiny::write(&path, &metadata, &tiny.tensors());
        let model = Model::open(path).unwrap();
        let mut session = session(&model, 64);
        let (until_end, stop) = run(&mut session, &mut sampler(0.0), &[1, 270], 8, usize::MAX);
        assert_eq!((until_end.as_slice(), stop), (&tokens[..at], StopReason::End));
        assert_eq!(session.position(), 2 + at);
    }

    #[test]
    fn the_seed_and_the_penalties_are_heeded() {
        let model = Tiny::new().model();
        let prompt = [1, 270, 280];
        let drawn = |seed| {
            let options = SamplerOptions { temperature: 1.5, top_k: 0, seed, ..SamplerOptions::default() };
            run(&mut session(&model, 64), &mut Sampler::new(options, 300), &prompt, 12, usize::MAX).0
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        // Whatever was said, the prompt included, is not said again.
        let options = SamplerOptions { temperature: 0.0, presence_penalty: 1e6, ..SamplerOptions::default() };
        let (tokens, _) =
            run(&mut session(&model, 64), &mut Sampler::new(options, 300), &prompt, 30, usize::MAX);
        for (at, token) in tokens.iter().enumerate() {
            assert!(!prompt.contains(token) && !tokens[..at].contains(token), "{tokens:?}");
        }
    }

    #[test]
    fn a_prompt_that_cannot_be_fed_is_an_error() {
        let model = Tiny::new().model();
        let mut session = session(&model, 8);
        for prompt in [&[][..], &[1; 9], &[1, 300]] {
            let result = generate(&mut session, &mut sampler(0.0), prompt, 5, OnFull::Stop, |_| {
                ControlFlow::Continue(())
            });
            assert!(matches!(result, Err(Error::Request(_))), "{prompt:?}");
            assert_eq!(session.position(), 0);
        }
        // It fits to the last place: one token is chosen, and there is no room for it.
        assert_eq!(run(&mut session, &mut sampler(1.0), &[1; 8], 5, 1).1, StopReason::ContextFull);
    }
}
