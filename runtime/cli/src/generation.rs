//! What `run` and `chat` share: a session that says when it will not fit, a prompt that is read in passes, and text
//! that is shown as it is made.

use crate::error::Error;
use crate::progress::{Progress, Unit};
use crate::{interrupt, terminal, units};
use engine::{Generation, Model, OnFull, Sampler, Session, SessionOptions, StopReason, TextDecoder};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Tokens of the first pass over a prompt. Passes double while they are quick: a signal is heard, and the bar moves,
/// on a slow machine too. Results do not depend on the passes.
const FIRST_PASS: usize = 32;
/// A pass that takes longer is not doubled.
const QUICK: Duration = Duration::from_millis(500);

/// Makes a session; says what will happen where the weights do not fit.
pub(crate) fn new_session<'m>(model: &'m Model, options: &SessionOptions) -> Result<Session<'m>, Error> {
    let session = Session::new(model, options)?;
    let plan = session.memory_plan();
    let cache = plan.cache;
    if let Some(streaming) = &plan.streaming {
        terminal::say(&format!(
            "{} does not fit into {} of memory: of {} of weights {} stay there, and {} are read from the disk for each token",
            model.file().path().display(),
            units::bytes(plan.budget_bytes),
            units::bytes(plan.pass_bytes),
            units::bytes(streaming.pinned_bytes),
            units::bytes(plan.pass_bytes - streaming.pinned_bytes),
        ));
        terminal::say(&format!(
            "the KV cache ({cache}) takes from them as it grows, up to {} at {} tokens; `llamita plan` tells how fast \
             that is, and what is faster",
            units::bytes(plan.kv_cache_bytes),
            units::count(plan.context),
        ));
    } else if options.cache.is_none() && cache.k.is_quantized() {
        terminal::say(&format!(
            "the KV cache is kept as {cache}, with which all fits into memory (--cache-type)"
        ));
    }
    Ok(session)
}

/// Reads a prompt and writes the text that follows it.
pub(crate) struct Writer<'s, 'm> {
    pub(crate) session: &'s mut Session<'m>,
    pub(crate) sampler: &'s mut Sampler,
    /// Tokens of a pass at most.
    pub(crate) batch: usize,
    pub(crate) on_full: OnFull,
}

/// What was written.
pub(crate) struct Written {
    /// The tokens, an end token not counted.
    pub(crate) tokens: Vec<u32>,
    /// The figures; `n_prompt` and `prefill` cover the whole prompt.
    pub(crate) generation: Generation,
}

impl Writer<'_, '_> {
    /// Feeds `prompt` (not empty), then makes up to `max_tokens` tokens and hands their text to `show`, in pieces of
    /// whole characters.
    ///
    /// # Errors
    /// Those of the engine and of `show`. A signal is none: it ends the text with [`StopReason::Stopped`].
    pub(crate) fn write(
        &mut self,
        prompt: &[u32],
        max_tokens: usize,
        mut show: impl FnMut(&str) -> Result<(), Error>,
    ) -> Result<Written, Error> {
        let start = Instant::now();
        let n_read = if self.session.memory_plan().fits() {
            self.read(&prompt[..prompt.len() - 1])?
        } else {
            // Every pass reads from the disk what does not fit: the whole prompt goes in one.
            self.watch(prompt.len());
            0
        };
        let read_time = start.elapsed();
        let mut written = Written { tokens: Vec::new(), generation: stopped(n_read, read_time) };
        if interrupt::requested() {
            return Ok(written);
        }

        let tokenizer = self.session.model().tokenizer();
        let mut decoder = TextDecoder::default();
        let mut shown = Ok(());
        let generation = engine::generate(
            self.session,
            self.sampler,
            &prompt[n_read..],
            max_tokens,
            self.on_full,
            |token| {
                written.tokens.push(token);
                shown = show(decoder.push(tokenizer, token));
                if shown.is_err() || interrupt::requested() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        let generation = match generation {
            Err(engine::Error::Stopped) => return Ok(written),
            generation => generation?,
        };
        shown?;
        show(decoder.finish())?;
        written.generation = Generation {
            n_prompt: n_read + generation.n_prompt,
            prefill: read_time + generation.prefill,
            ..generation
        };
        Ok(written)
    }

    /// Shows how far a pass over so many tokens is. A signal ends it.
    fn watch(&mut self, n_tokens: usize) {
        let mut progress = None;
        let mut shown = 0;
        self.session.watch(move |done, all| {
            let progress_now = progress.get_or_insert_with(|| {
                let progress = Progress::new("reading the prompt", Unit::Tokens);
                progress.set_total(n_tokens as u64);
                progress
            });
            let n_done = (n_tokens * done / all) as u64;
            progress_now.add(n_done - shown);
            shown = n_done;
            if done == all {
                (progress, shown) = (None, 0);
            }
            if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }

    /// Feeds all but the end of a long text; how many tokens. A signal ends it early.
    fn read(&mut self, tokens: &[u32]) -> Result<usize, Error> {
        let mut pass = FIRST_PASS.min(self.batch);
        if tokens.len() <= pass {
            return Ok(0);
        }
        let progress = Progress::new("reading the prompt", Unit::Tokens);
        progress.set_total(tokens.len() as u64);
        let mut n_read = 0;
        while tokens.len() - n_read > pass && !interrupt::requested() {
            let start = Instant::now();
            let next = &tokens[n_read..n_read + pass];
            self.session.feed(next)?;
            next.iter().for_each(|&token| self.sampler.accept(token));
            n_read += pass;
            progress.add(pass as u64);
            if start.elapsed() < QUICK {
                pass = (2 * pass).min(self.batch);
            }
        }
        Ok(n_read)
    }
}

fn stopped(n_prompt: usize, prefill: Duration) -> Generation {
    Generation {
        stop: StopReason::Stopped,
        n_prompt,
        n_generated: 0,
        n_fed: 0,
        prefill,
        decode: Duration::ZERO,
        prefill_read_bytes: 0,
        decode_read_bytes: 0,
    }
}

/// The figures of a generation, as one line. The text's first token takes no time of its own: it comes of the prompt.
pub(crate) fn statistics(generation: &Generation) -> String {
    let part = |name: &str, n: usize, n_fed: usize, time: Duration, read_bytes: u64| {
        let rate = match n_fed {
            0 => String::new(),
            n => format!(", {} tokens/s", units::digits(units::rate(n as u64, time))),
        };
        let read = match read_bytes {
            0 => String::new(),
            n => format!(", {} read from the disk", units::bytes(n)),
        };
        format!("{name} {n} tokens in {}{rate}{read}", units::duration(time))
    };
    let Generation { n_prompt, n_generated, n_fed, prefill, decode, .. } = *generation;
    format!(
        "{}; {}",
        part("prompt", n_prompt, n_prompt, prefill, generation.prefill_read_bytes),
        part("text", n_generated, n_fed, decode, generation.decode_read_bytes),
    )
}
