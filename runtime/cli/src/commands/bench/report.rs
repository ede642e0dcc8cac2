//! What was measured, as a table for people and as JSON for programs.

use super::limits::{Limit, Machine};
use super::measure::{Measured, Test, median};
use super::start::FirstToken;
use super::work::Work;
use crate::error::Error;
use crate::{terminal, units};
use engine::{Operation, Profile, SessionOptions};
use serde::Serialize;
use std::time::Duration;

#[derive(Serialize)]
pub(super) struct Report {
    llamita: &'static str,
    /// As the system names it; `null` where it does not.
    processor: Option<String>,
    isa: &'static str,
    /// Tokens of a pass at most.
    batch: usize,
    cache_type: String,
    machine: Vec<Machine>,
    /// What the peer's engine says of its build.
    #[cfg(feature = "ggml")]
    ggml: String,
    models: Vec<ModelReport>,
}

#[derive(Serialize)]
pub(super) struct ModelReport {
    #[serde(rename = "model")]
    pub path: String,
    #[serde(flatten)]
    pub work: Work,
    pub first_token: FirstToken,
    /// Mapped weights included; `null` where the system does not tell.
    pub peak_rss_bytes: Option<u64>,
    pub rows: Vec<Row>,
}

/// A test with a number of threads.
#[derive(Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    test: Test,
    threads: usize,
    tokens_per_second: f64,
    /// Each repetition's, in their order.
    seconds: Vec<f64>,
    limit: Option<Limit>,
    /// What it came to while each of them ran, a second.
    limits: Vec<f64>,
    /// Of it, in the middle of the repetitions; weights and cache counted for a text, weights alone for a prompt.
    share: Option<f64>,
    /// The same without the time between the products by weights.
    share_in_products: Option<f64>,
    attention_share_of_time: f64,
    bytes_per_token: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Vec<Step>>,
    #[cfg(feature = "ggml")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub against: Vec<super::against::Duel>,
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
        threads: usize,
        test: Test,
        measured: &Measured,
        work: &Work,
        with_profile: bool,
    ) -> Self {
        let seconds: Vec<f64> = measured.times.iter().map(Duration::as_secs_f64).collect();
        let middle = median(seconds.iter().copied()).unwrap_or(f64::NAN);
        let done = work.done(test);
        let share =
            median(seconds.iter().zip(&measured.limits).map(|(seconds, limit)| done / seconds / limit));
        let profile = &measured.profile;
        let products = part(profile, |operation| operation.is_product());
        Self {
            test,
            threads,
            tokens_per_second: test.n_tokens as f64 / middle,
            seconds,
            limit: work.limit(test),
            limits: measured.limits.clone(),
            share,
            share_in_products: share.filter(|_| test.is_prompt).map(|share| share / products),
            attention_share_of_time: part(profile, |operation| operation == Operation::Attention),
            bytes_per_token: work.bytes_per_token(test),
            profile: with_profile.then(|| steps(measured, test.n_tokens)),
            #[cfg(feature = "ggml")]
            against: Vec::new(),
        }
    }

    #[cfg(feature = "ggml")]
    pub(super) fn test(&self) -> Test {
        self.test
    }

    #[cfg(feature = "ggml")]
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    fn print(&self) -> String {
        let Test { is_prompt, depth, n_tokens } = self.test;
        let rates = self.seconds.iter().map(|seconds| n_tokens as f64 / seconds);
        let (slowest, fastest) =
            rates.fold((f64::MAX, 0.0), |(low, high), rate| (rate.min(low), rate.max(high)));
        let spread = format!("{}–{}", units::digits(slowest), units::digits(fastest));
        let attention = percent(self.attention_share_of_time);
        let bytes = units::bytes(self.bytes_per_token);
        let share = self
            .share
            .zip(self.limit)
            .map(|(share, limit)| format!("{} of the {}", percent(share), limit.name()));
        let note = match (share, self.share_in_products.map(percent)) {
            (Some(all), Some(products)) => {
                format!("{all}, {products} in products; attention {attention} of the time")
            }
            (Some(share), None) => format!("{share}, {bytes} a token"),
            (None, _) => format!("attention {attention} of the time"),
        };
        let rate = units::digits(self.tokens_per_second);
        let (name, threads) = (if is_prompt { "prompt" } else { "text" }, self.threads);
        format!("{name:<6} {threads:>8} {depth:>7} {n_tokens:>7} {rate:>10}  {spread:<14} {note}")
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Some operations' part of the time of all.
fn part(profile: &Profile, of: impl Fn(Operation) -> bool) -> f64 {
    let operations = Operation::ALL.into_iter().filter(|&operation| of(operation));
    let time: Duration = operations.map(|operation| profile.time(operation)).sum();
    let total = profile.total().as_secs_f64();
    if total > 0.0 { time.as_secs_f64() / total } else { 0.0 }
}

fn steps(measured: &Measured, n_tokens: usize) -> Vec<Step> {
    let n_tokens = (n_tokens * measured.times.len()) as f64;
    let step = |operation: Operation| {
        let seconds = measured.profile.time(operation).as_secs_f64();
        let share = part(&measured.profile, |other| other == operation);
        Step { operation: operation.name(), microseconds_per_token: seconds * 1e6 / n_tokens, share }
    };
    Operation::ALL.map(step).into()
}

impl Report {
    pub(super) fn new(options: &SessionOptions, machine: Vec<Machine>, models: Vec<ModelReport>) -> Self {
        Self {
            llamita: env!("CARGO_PKG_VERSION"),
            processor: std::fs::read_to_string("/proc/cpuinfo").ok().as_deref().and_then(processor),
            isa: options.isa.name(),
            batch: options.batch,
            cache_type: options.cache.map(|cache| cache.to_string()).unwrap_or_default(),
            machine,
            #[cfg(feature = "ggml")]
            ggml: ggml::system_info(),
            models,
        }
    }

    pub(super) fn print(&self) -> Result<(), Error> {
        let processor = self.processor.as_deref().map_or("this processor".into(), terminal::visible);
        let mut lines = vec![format!("{processor} at level {}, cache of {}", self.isa, self.cache_type)];
        for machine in &self.machine {
            let Machine { threads, read_bytes_per_second, int8_macs_per_second, operation_seconds } = machine;
            let levels = int8_macs_per_second.iter().rev();
            let levels = levels.map(|(level, rate)| format!("{level} {}", units::digits(rate / 1e9)));
            lines.push(format!(
                "{threads:>2} threads  memory {}/s · int8 10⁹ multiply-adds/s: {} · an operation's start and end {} µs",
                units::bytes(*read_bytes_per_second as u64),
                levels.collect::<Vec<_>>().join(", "),
                units::digits(operation_seconds * 1e6),
            ));
        }
        for model in &self.models {
            model.print(&mut lines);
        }
        terminal::print(&(lines.join("\n") + "\n"))
    }
}

impl ModelReport {
    fn print(&self, lines: &mut Vec<String>) {
        let FirstToken { warm_seconds, cold_seconds } = self.first_token;
        let cold = cold_seconds
            .map_or(String::new(), |cold| format!(", {} s from a cold start", units::digits(cold)));
        lines.push(String::new());
        lines.push(format!(
            "{}  {}, {}",
            terminal::visible(&self.path),
            units::bytes(self.work.file_bytes()),
            self.work.kernels()
        ));
        lines.push(format!(
            "first token after {} s{cold}; peak RSS {}, mapped weights included",
            units::digits(warm_seconds),
            self.peak_rss_bytes.map_or("not told by this system".into(), units::bytes)
        ));
        lines.push("test    threads   depth  tokens   tokens/s  spread".to_owned());
        for row in &self.rows {
            lines.push(row.print());
            lines.extend(row.profile.iter().flatten().map(|step| {
                let Step { operation, microseconds_per_token, share } = step;
                let time = units::digits(*microseconds_per_token);
                format!("  {operation:<18} {time:>10} µs a token {:>5.1} %", share * 100.0)
            }));
            #[cfg(feature = "ggml")]
            lines.extend(super::against::lines(&row.against));
        }
    }
}

/// The processor's name in Linux's `/proc/cpuinfo`: on x86 `model name`, on a board `Model`.
fn processor(cpuinfo: &str) -> Option<String> {
    let field = |name: &str| {
        let value =
            cpuinfo.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    field("model name").or_else(|| field("Model"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_have_names() {
        for (cpuinfo, name) in [
            ("processor\t: 0\nmodel\t\t: 97\nmodel name\t: A 9 7950X\n", Some("A 9 7950X")),
            ("processor\t: 0\nBogoMIPS\t: 108\nRevision\t: c0\nModel\t\t: A Pi 5\n", Some("A Pi 5")),
            ("processor\t: 0\nmodel name\t:\n", None),
            ("", None),
        ] {
            assert_eq!(processor(cpuinfo).as_deref(), name, "{cpuinfo}");
        }
    }
}
