//! What was measured, as a table for people and as JSON for programs.

use super::Measured;
use crate::error::Error;
use crate::{terminal, units};
use engine::Operation;
use serde::Serialize;
use std::path::Path;

/// One thing to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test {
    /// A prompt that is read in passes as long as may be, or a text that is made token by token.
    pub is_prompt: bool,
    pub depth: usize,
    pub n_tokens: usize,
}

impl Test {
    /// Tokens that the context must hold.
    pub(super) fn context(&self) -> usize {
        self.depth + self.n_tokens
    }
}

#[derive(Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    machine: Machine,
    rows: Vec<Row>,
    /// Of the whole process, mapped weights included; `null` where the system does not tell.
    peak_rss_bytes: Option<u64>,
}

/// What the machine can do, measured in the same run.
#[derive(Serialize)]
pub(super) struct Machine {
    pub isa: &'static str,
    pub threads: usize,
    pub read_bytes_per_second: f64,
}

#[derive(Serialize)]
pub(super) struct Row {
    model: String,
    test: &'static str,
    depth: usize,
    n_tokens: usize,
    tokens_per_second: f64,
    slowest: f64,
    fastest: f64,
    weight_bytes_per_token: u64,
    /// Of the read bandwidth; for text only.
    bandwidth_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Vec<Step>>,
}

/// An operation's part of the time.
#[derive(Serialize)]
struct Step {
    operation: &'static str,
    microseconds_per_token: f64,
    share: f64,
}

impl Row {
    /// `measured` has a time at least.
    pub(super) fn new(
        model: &Path,
        test: Test,
        measured: &Measured,
        weight_bytes_per_token: u64,
        with_profile: bool,
    ) -> Self {
        let times = &measured.times;
        let rate = |index: usize| units::rate(test.n_tokens as u64, times[index]);
        Self {
            model: model.display().to_string(),
            test: if test.is_prompt { "prompt" } else { "text" },
            depth: test.depth,
            n_tokens: test.n_tokens,
            tokens_per_second: rate(times.len() / 2),
            slowest: rate(times.len() - 1),
            fastest: rate(0),
            weight_bytes_per_token,
            bandwidth_share: None,
            profile: with_profile.then(|| steps(measured, test.n_tokens)),
        }
    }

    fn print(&self) -> String {
        let share = self.bandwidth_share.map_or(String::new(), |share| {
            let bytes = units::bytes(self.weight_bytes_per_token);
            format!("{:.0} % of the bandwidth, {bytes} a token", share * 100.0)
        });
        let spread = format!("{}–{}", units::digits(self.slowest), units::digits(self.fastest));
        let rate = units::digits(self.tokens_per_second);
        let Self { test, depth, n_tokens, .. } = self;
        let row = format!("{test:<9} {depth:>7} {n_tokens:>7} {rate:>10}  {spread:<14} {share}");
        row.trim_end().to_owned()
    }
}

fn steps(measured: &Measured, n_tokens: usize) -> Vec<Step> {
    let n_tokens = (n_tokens * measured.times.len()) as f64;
    let total = measured.profile.total().as_secs_f64();
    let step = |operation: Operation| {
        let seconds = measured.profile.time(operation).as_secs_f64();
        let share = if total > 0.0 { seconds / total } else { 0.0 };
        Step { operation: operation.name(), microseconds_per_token: seconds * 1e6 / n_tokens, share }
    };
    Operation::ALL.map(step).into()
}

impl Report {
    pub(super) fn new(machine: Machine, mut rows: Vec<Row>, peak_rss_bytes: Option<u64>) -> Self {
        for row in rows.iter_mut().filter(|row| row.test == "text") {
            let read = row.tokens_per_second * row.weight_bytes_per_token as f64;
            row.bandwidth_share = Some(read / machine.read_bytes_per_second);
        }
        Self { machine, rows, peak_rss_bytes }
    }

    pub(super) fn print(&self) -> Result<(), Error> {
        let Machine { isa, threads, read_bytes_per_second } = self.machine;
        let mut lines = vec![format!("{isa}, {threads} threads")];
        for rows in self.rows.chunk_by(|a, b| a.model == b.model) {
            lines.push(String::new());
            lines.push(terminal::visible(&rows[0].model).into_owned());
            lines.push("            depth  tokens   tokens/s  spread".to_owned());
            for row in rows {
                lines.push(row.print());
                lines.extend(row.profile.iter().flatten().map(|step| {
                    let Step { operation, microseconds_per_token, share } = step;
                    let time = units::digits(*microseconds_per_token);
                    format!("  {operation:<18} {time:>10} µs a token {:>5.1} %", share * 100.0)
                }));
            }
        }
        lines.push(String::new());
        lines.push(format!("bandwidth  {}/s read from memory", units::bytes(read_bytes_per_second as u64)));
        let peak = self.peak_rss_bytes.map_or_else(|| "not told by this system".into(), units::bytes);
        lines.push(format!("peak RSS   {peak}, mapped weights included"));
        terminal::print(&(lines.join("\n") + "\n"))
    }
}
