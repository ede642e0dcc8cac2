//! A measurement: what is fed to whom, and how often.

use super::limits::Limits;
use crate::error::Error;
use crate::interrupt;
use crate::progress::Progress;
use engine::{Profile, Session};
use serde::{Serialize, Serializer};
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
        interrupt::check()?;
        self.truncate(test.depth);
        let start = Instant::now();
        for tokens in tokens[test.depth..test.context()].chunks(test.step()) {
            self.feed(tokens)?;
        }
        Ok(start.elapsed())
    }
}

impl Subject for Session<'_> {
    fn truncate(&mut self, n: usize) {
        Session::truncate(self, n);
    }

    fn feed(&mut self, tokens: &[u32]) -> Result<(), Error> {
        Session::feed(self, tokens)?;
        Ok(())
    }
}

/// A session and what it is measured with.
pub(super) struct Bench<'a, 'm> {
    pub session: &'a mut Session<'m>,
    pub tokens: &'a [u32],
    pub limits: &'a Limits,
    pub progress: &'a Progress,
}

/// The times of a test, the limit before each, and where the time of all of them went.
pub(super) struct Measured {
    pub times: Vec<Duration>,
    /// Bytes a second read from memory for a text, bytes multiplied a second for a prompt; none for one of float weights.
    pub limits: Vec<f64>,
    pub profile: Profile,
}

impl Bench<'_, '_> {
    /// Limit, test, limit, test; before that the test once, not counted.
    pub(super) fn measure(&mut self, test: Test, repetitions: u32, is_int8: bool) -> Result<Measured, Error> {
        let Self { session, tokens, limits, progress } = self;
        session.prepare(test, tokens)?;
        progress.add(test.context() as u64);
        session.take_profile();
        let n_threads = session.n_threads();
        let mut measured = Measured { times: Vec::new(), limits: Vec::new(), profile: Profile::default() };
        for _ in 0..repetitions {
            if !test.is_prompt {
                measured.limits.push(limits.read_bytes_per_second(n_threads));
            } else if is_int8 {
                measured.limits.push(limits.int8_per_second(n_threads));
            }
            measured.times.push(session.time(test, tokens)?);
            progress.add(test.n_tokens as u64);
        }
        measured.profile = session.take_profile();
        Ok(measured)
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
