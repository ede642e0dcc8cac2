//! A measurement: what is fed to whom, and how often.

use super::limits::{Limit, Limits};
use crate::error::Error;
use crate::interrupt;
use crate::progress::Progress;
use engine::{Profile, Session};
use serde::{Serialize, Serializer};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One thing to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Test {
    /// A prompt that is read in passes as long as may be, or a text that is made token by token.
    #[serde(rename = "test", serialize_with = "name")]
    pub is_prompt: bool,
    pub depth: usize,
    pub n_tokens: usize,
}

fn name<S: Serializer>(is_prompt: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *is_prompt { "prompt" } else { "text" })
}

impl Test {
    /// Tokens that the context must hold.
    pub(super) fn context(&self) -> usize {
        self.depth + self.n_tokens
    }

    /// Tokens that are fed at once.
    fn step(&self) -> usize {
        if self.is_prompt { self.n_tokens } else { 1 }
    }
}

/// Who is measured: a model with one sequence of tokens.
pub(super) trait Subject {
    /// Forgets all but the first `n` tokens.
    fn truncate(&mut self, n: usize);

    /// Appends tokens and computes the logits after the last.
    fn feed(&mut self, tokens: &[u32]) -> Result<(), Error>;

    /// Brings the weights into memory, and the test's depth into the context.
    fn prepare(&mut self, test: Test, tokens: &[u32]) -> Result<(), Error> {
        self.truncate(0);
        if test.depth > 0 {
            self.feed(&tokens[..test.depth])?;
        }
        self.time(test, tokens).map(drop)
    }

    /// Feeds the test's tokens after its depth, once more.
    fn time(&mut self, test: Test, tokens: &[u32]) -> Result<Duration, Error> {
        self.time_each(test, tokens, || ())
    }

    /// The same, and calls `between` after each step, whose time does not count.
    fn time_each(&mut self, test: Test, tokens: &[u32], between: impl Fn()) -> Result<Duration, Error> {
        self.truncate(test.depth);
        let mut time = Duration::ZERO;
        for tokens in tokens[test.depth..test.context()].chunks(test.step()) {
            interrupt::check()?;
            let start = Instant::now();
            self.feed(tokens)?;
            time += start.elapsed();
            between();
        }
        Ok(time)
    }
}

impl Subject for Session<'_> {
    fn truncate(&mut self, n: usize) {
        Session::truncate(self, n);
    }

    fn feed(&mut self, tokens: &[u32]) -> Result<(), Error> {
        match Session::feed(self, tokens) {
            Err(engine::Error::Stopped) => interrupt::check(),
            fed => Ok(fed.map(drop)?),
        }
    }
}

/// A session and what it is measured with.
pub(super) struct Bench<'a, 'm> {
    pub session: &'a mut Session<'m>,
    pub tokens: &'a [u32],
    pub limits: &'m Limits,
    pub progress: &'a Progress,
}

/// The times of a test, the limit during each, and where the time of all of them went.
pub(super) struct Measured {
    pub times: Vec<Duration>,
    /// In its unit a second; none where there is none.
    pub limits: Vec<f64>,
    pub profile: Profile,
}

impl<'m> Bench<'_, 'm> {
    /// The test once, not counted, and then so often; meanwhile the limit again and again, between the layers of a prompt
    /// and the tokens of a text.
    pub(super) fn measure(
        &mut self,
        test: Test,
        repetitions: u32,
        limit: Option<Limit>,
    ) -> Result<Measured, Error> {
        let Self { session, tokens, limits, progress } = self;
        let (limits, n_threads): (&'m Limits, _) = (limits, session.n_threads());
        let look = move || limit.map(|limit| limits.per_second(limit, n_threads));
        let looks = Rc::new(Looks::new());
        let in_pass = Rc::clone(&looks);
        session.watch(move |_, _| {
            in_pass.take(look);
            if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        session.prepare(test, tokens)?;
        progress.add(test.context() as u64);
        session.take_profile();
        let mut measured = Measured { times: Vec::new(), limits: Vec::new(), profile: Profile::default() };
        for _ in 0..repetitions {
            looks.begin();
            let time = match test.is_prompt {
                true => {
                    let time = session.time(test, tokens)? - looks.time.get();
                    looks.first(look); // a pass of one token tells nobody
                    time
                }
                false => session.time_each(test, tokens, || looks.take(look))?,
            };
            measured.times.push(time);
            measured.limits.extend(looks.mean());
            progress.add(test.n_tokens as u64);
        }
        session.watch(|_, _| ControlFlow::Continue(()));
        measured.profile = session.take_profile();
        Ok(measured)
    }
}

/// Looks at a limit while a test runs. Where other programs take what they find, a limit moves within a run, and its best
/// moment is nothing to compare a run with.
struct Looks {
    began: Cell<Instant>,
    time: Cell<Duration>,
    sum: Cell<f64>,
    n: Cell<u32>,
}

/// Looks take one of so many parts of the time, but for the first.
const PARTS: u32 = 5;

impl Looks {
    /// None yet.
    fn new() -> Self {
        Self {
            began: Cell::new(Instant::now()),
            time: Cell::default(),
            sum: Cell::default(),
            n: Cell::default(),
        }
    }

    /// Forgets those of the last run.
    fn begin(&self) {
        self.began.set(Instant::now());
        self.time.take();
        self.sum.take();
        self.n.take();
    }

    /// Looks, if nobody has.
    fn first(&self, look: impl FnOnce() -> Option<f64>) {
        if self.n.get() == 0 {
            self.take(look);
        }
    }

    /// Looks, if there is time.
    fn take(&self, look: impl FnOnce() -> Option<f64>) {
        let start = Instant::now();
        if self.n.get() > 0 && self.time.get() * PARTS > start - self.began.get() {
            return;
        }
        if let Some(rate) = look() {
            self.sum.set(self.sum.get() + rate);
            self.n.set(self.n.get() + 1);
            self.time.set(self.time.get() + start.elapsed());
        }
    }

    fn mean(&self) -> Option<f64> {
        (self.n.get() > 0).then(|| self.sum.get() / f64::from(self.n.get()))
    }
}

/// The middle one; between two in the middle.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().saturating_sub(1) / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_one_counts() {
        for (values, expected) in
            [(&[][..], None), (&[3.0], Some(3.0)), (&[9.0, 1.0, 2.0], Some(2.0)), (&[4.0, 1.0], Some(2.5))]
        {
            assert_eq!(median(values.iter().copied()), expected, "{values:?}");
        }
    }
}
