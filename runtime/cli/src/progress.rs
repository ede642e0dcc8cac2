//! How far work is: a bar on a terminal, a plain line now and then elsewhere.

use crate::{interrupt, terminal, units};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two plain lines: a log of an hour's work stays readable.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Tokens,
    /// What takes as long as another, and is no thing that a user counts.
    Effort,
}

impl Unit {
    /// What a line says of so much, each followed by a comma.
    fn amounts(self, done: u64, total: u64, per_second: f64) -> String {
        let rate = self.rate(per_second);
        match self {
            Self::Bytes => format!("{} of {}, {rate}, ", units::bytes(done), units::bytes(total)),
            Self::Tokens => {
                format!("{} tokens of {} tokens, {rate}, ", units::count(done), units::count(total))
            }
            Self::Effort => String::new(),
        }
    }

    fn rate(self, per_second: f64) -> String {
        match self {
            Self::Bytes => format!("{}/s", units::bytes(per_second as u64)),
            Self::Tokens => format!("{} tokens/s", units::digits(per_second)),
            Self::Effort => String::new(),
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Bytes => "{msg} {bar:24} {percent:>3} %  {bytes} of {total_bytes}  {rate}  {eta} left",
            Self::Tokens => {
                "{msg} {bar:24} {percent:>3} %  {human_pos} of {human_len} tokens  {rate}  {eta} left"
            }
            Self::Effort => "{msg} {bar:24} {percent:>3} %  {eta} left",
        }
    }
}

/// Shows how far a piece of work is, on standard error. Dropped, it leaves the line clean.
pub(crate) struct Progress {
    unit: Unit,
    /// `None`: plain lines.
    bar: Option<ProgressBar>,
    state: Mutex<State>,
}

struct State {
    what: String,
    start: Instant,
    last_line: Duration,
    done: u64,
    total: u64,
}

impl Progress {
    /// `what` is done, as a participle: "converting".
    pub(crate) fn new(what: &str, unit: Unit) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(unit.template()).expect("a constant template").with_key(
                "rate",
                move |state: &ProgressState, out: &mut dyn Write| {
                    let _ = out.write_str(&unit.rate(state.per_sec()));
                },
            );
            ProgressBar::new(0).with_style(style.progress_chars("━╸ ")).with_message(what.to_owned())
        });
        let now = Instant::now();
        let state = State { what: what.to_owned(), start: now, last_line: Duration::ZERO, done: 0, total: 0 };
        Self { unit, bar, state: Mutex::new(state) }
    }

    /// The whole amount.
    pub(crate) fn set_total(&self, total: u64) {
        self.with_state(|state| state.total = total);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
        }
    }

    /// More is done.
    pub(crate) fn add(&self, n: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(n);
            self.with_state(|state| state.done += n);
        } else if let Some(line) = self.with_state(|state| state.add(n, self.unit)) {
            terminal::say(&line);
        }
    }

    /// Changes what is said to be done: "perplexity 43.2".
    pub(crate) fn set_what(&self, what: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.clone());
        }
        self.with_state(|state| state.what = what);
    }

    /// A sentence that stays.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| terminal::say(text)),
            None => terminal::say(text),
        }
    }

    /// Time since it began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.with_state(|state| state.start.elapsed())
    }

    fn with_state<T>(&self, body: impl FnOnce(&mut State) -> T) -> T {
        // A thread that panicked while it held the lock left a count that is wrong at worst.
        body(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl State {
    /// Counts; the line to print, if it is time for one.
    fn add(&mut self, n: u64, unit: Unit) -> Option<String> {
        self.done += n;
        let elapsed = self.start.elapsed();
        if elapsed < self.last_line + LINE_INTERVAL {
            return None;
        }
        self.last_line = elapsed;
        Some(self.line(elapsed, unit))
    }

    fn line(&self, elapsed: Duration, unit: Unit) -> String {
        let rate = units::rate(self.done, elapsed);
        let left = self.total.saturating_sub(self.done) as f64 / rate.max(f64::MIN_POSITIVE);
        // A rate of nearly nothing would not fit a Duration; a day is as good as never.
        let left = units::duration(Duration::from_secs_f64(left.min(86_400.0)));
        let percent = (self.done as f64 / self.total.max(1) as f64 * 100.0) as u64;
        let amounts = unit.amounts(self.done, self.total, rate);
        format!("{}: {percent} %, {amounts}{left} left", self.what)
    }
}

impl quantize::Monitor for Progress {
    fn start(&self, total: u64) {
        self.set_total(total);
    }

    fn advance(&self, n: u64) -> Result<(), quantize::Cancelled> {
        self.add(n);
        if interrupt::requested() { Err(quantize::Cancelled) } else { Ok(()) }
    }

    fn note(&self, text: &str) {
        self.say(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long() {
        let now = Instant::now();
        let state = State {
            what: "converting".into(),
            start: now,
            last_line: Duration::ZERO,
            done: 1 << 30,
            total: 4 << 30,
        };
        let line = state.line(Duration::from_secs(64), Unit::Bytes);
        assert_eq!(line, "converting: 25 %, 1.00 GiB of 4.00 GiB, 16.0 MiB/s, 3 min 12 s left");
        let line = state.line(Duration::from_secs(64), Unit::Effort);
        assert_eq!(line, "converting: 25 %, 3 min 12 s left");
        let state =
            State { what: "reading".into(), start: now, last_line: Duration::ZERO, done: 0, total: 8 };
        let line = state.line(Duration::from_secs(20), Unit::Tokens);
        assert_eq!(line, "reading: 0 %, 0 tokens of 8 tokens, 0.00 tokens/s, 24 h 00 min left");
    }

    #[test]
    fn lines_come_at_intervals_only() {
        let start = Instant::now().checked_sub(Duration::from_secs(11)).expect("an uptime of 11 s");
        let mut state = State { what: String::new(), start, last_line: Duration::ZERO, done: 0, total: 100 };
        assert!(state.add(1, Unit::Bytes).is_some());
        assert!(state.add(1, Unit::Bytes).is_none());
        assert_eq!(state.done, 2);
    }
}
