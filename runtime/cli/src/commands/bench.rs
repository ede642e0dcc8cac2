//! `llamita bench`: how fast this machine runs a model, and how fast it could.
//!
//! Making a token reads all weights once, so the bandwidth of memory sets the limit. It is measured in the same run,
//! with the same threads, and the share that the model reached stands beside the rate: a share says whether a kernel
//! or the machine is slow, a rate alone does not.

use crate::error::Error;
use crate::flags::EngineFlags;
use crate::generation;
use crate::progress::{Progress, Unit};
use crate::{interrupt, terminal, units};
use engine::{Model, Session};
use kernels::{Isa, Team};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Measure how fast a model runs
///
/// The rate of reading a prompt is bound by arithmetic, the rate of making text by the bandwidth of memory.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  llamita bench llama-2-7b-q4_0.gguf -p 128 -n 32")]
pub(crate) struct Args {
    /// The model
    #[arg(value_name = "MODEL.gguf")]
    model: PathBuf,
    /// Tokens of prompt to read; 0: do not measure it
    #[arg(short = 'p', long, value_name = "N", default_value_t = 512)]
    prompt: usize,
    /// Tokens of text to make; 0: do not measure it
    #[arg(short = 'n', long = "tokens", value_name = "N", default_value_t = 128)]
    n_tokens: usize,
    /// Tokens that stand in the context before each measurement
    #[arg(long, value_name = "N", default_value_t = 0)]
    depth: usize,
    /// Measurements; the middle one counts
    #[arg(short, long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repetitions: u32,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineFlags,
}

/// How long the bandwidth is measured: the best of a few passes.
const BANDWIDTH_TIME: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Report {
    model: String,
    isa: &'static str,
    threads: usize,
    depth: usize,
    prompt_tokens: usize,
    prompt_tokens_per_second: Option<f64>,
    text_tokens: usize,
    text_tokens_per_second: Option<f64>,
    weight_bytes_per_token: u64,
    read_bytes_per_second: f64,
    /// Of the bandwidth that was measured, while text was made.
    bandwidth_share: Option<f64>,
    /// Of the whole process, mapped weights included; `null` where the system does not tell.
    peak_rss_bytes: Option<u64>,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let longest = args.prompt.max(args.n_tokens);
    let context = args.depth.saturating_add(longest);
    if longest == 0 {
        return Err(Error::Call("nothing to measure: -p and -n are both 0".into()));
    }
    let model = Model::open(&args.model)?;
    let options = args.engine.options(context);
    let mut session = generation::new_session(&model, &options)?;

    let passes = u64::from(args.repetitions) + 1;
    let progress = Progress::new("measuring", Unit::Tokens);
    progress.set_total(passes * (2 * args.depth + args.prompt + args.n_tokens) as u64);
    let mut bench =
        Bench { session: &mut session, tokens: tokens(&model, context), depth: args.depth, progress };
    let prefill =
        bench.median(args.repetitions, args.prompt, |session, tokens| session.feed(tokens).map(|_| ()))?;
    let decode = bench.median(args.repetitions, args.n_tokens, |session, tokens| {
        tokens.chunks(1).try_for_each(|token| session.feed(token).map(|_| ()))
    })?;
    drop(bench);
    // Before the bandwidth is measured: that takes memory of its own.
    let peak_rss_bytes = peak_rss_bytes();
    let read_bytes_per_second = read_bandwidth(session.n_threads(), options.isa)?;

    let rate = |n: usize, time: Option<Duration>| time.map(|time| units::rate(n as u64, time));
    let weight_bytes_per_token = weight_bytes_per_token(model.file());
    let text_tokens_per_second = rate(args.n_tokens, decode);
    let report = Report {
        model: args.model.display().to_string(),
        isa: options.isa.name(),
        threads: session.n_threads(),
        depth: args.depth,
        prompt_tokens: args.prompt,
        prompt_tokens_per_second: rate(args.prompt, prefill),
        text_tokens: args.n_tokens,
        text_tokens_per_second,
        weight_bytes_per_token,
        read_bytes_per_second,
        bandwidth_share: text_tokens_per_second
            .map(|rate| rate * weight_bytes_per_token as f64 / read_bytes_per_second),
        peak_rss_bytes,
    };
    if args.json { terminal::print_json(&report) } else { report.print() }
}

/// Bytes a second that as many threads read from memory.
fn read_bandwidth(n_threads: usize, isa: Isa) -> Result<f64, Error> {
    let team = Team::new(n_threads, isa)
        .map_err(|error| Error::Failed(format!("no threads can be made: {error}")))?;
    Ok(kernels::read_bandwidth(&team, BANDWIDTH_TIME))
}

struct Bench<'s, 'm> {
    session: &'s mut Session<'m>,
    tokens: Vec<u32>,
    depth: usize,
    progress: Progress,
}

impl Bench<'_, '_> {
    /// The middle time of feeding `n` tokens. A first time, not counted, brings the weights into memory.
    fn median(
        &mut self,
        repetitions: u32,
        n: usize,
        feed: impl Fn(&mut Session<'_>, &[u32]) -> Result<(), engine::Error>,
    ) -> Result<Option<Duration>, Error> {
        if n == 0 {
            return Ok(None);
        }
        let mut times = Vec::new();
        for _ in 0..=repetitions {
            interrupt::check()?;
            self.session.truncate(0);
            if self.depth > 0 {
                self.session.feed(&self.tokens[..self.depth])?;
            }
            let start = Instant::now();
            feed(self.session, &self.tokens[self.depth..self.depth + n])?;
            times.push(start.elapsed());
            self.progress.add((self.depth + n) as u64);
        }
        times.remove(0);
        times.sort();
        Ok(times.get(times.len() / 2).copied())
    }
}

/// Tokens all over the vocabulary: each row of the embedding is as likely to be read as another. Any will do, the
/// work does not depend on them; a fixed sequence makes two runs alike.
fn tokens(model: &Model, n: usize) -> Vec<u32> {
    // Steps of Knuth's multiplicative hash.
    let n_vocab = model.config().n_vocab as u64;
    (1..=n as u64).map(|i| ((i.wrapping_mul(2_654_435_761) >> 8) % n_vocab) as u32).collect()
}

/// All tensors, but of the embedding, where it is not the output matrix too, a row alone.
fn weight_bytes_per_token(file: &gguf::File) -> u64 {
    let is_tied = file.tensor("output.weight").is_none();
    let tensors = file.tensors().iter();
    tensors.filter(|tensor| is_tied || tensor.name != "token_embd.weight").map(|tensor| tensor.n_bytes).sum()
}

/// The most memory that this process has held, as Linux counts it.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

impl Report {
    fn print(&self) -> Result<(), Error> {
        let depth = if self.depth > 0 { format!(" after {} tokens", self.depth) } else { String::new() };
        let mut lines = vec![format!(
            "{}: {}, {} threads{depth}",
            terminal::visible(&self.model),
            self.isa,
            self.threads
        )];
        if let Some(rate) = self.prompt_tokens_per_second {
            lines.push(format!(
                "prompt     {:>7} tokens/s  ({} tokens)",
                units::digits(rate),
                self.prompt_tokens
            ));
        }
        if let (Some(rate), Some(share)) = (self.text_tokens_per_second, self.bandwidth_share) {
            lines.push(format!(
                "text       {:>7} tokens/s  ({} tokens; {} of weights each, {:.0} % of the bandwidth)",
                units::digits(rate),
                self.text_tokens,
                units::bytes(self.weight_bytes_per_token),
                share * 100.0
            ));
        }
        lines.push(format!(
            "bandwidth  {}/s read from memory",
            units::bytes(self.read_bytes_per_second as u64)
        ));
        let peak = self.peak_rss_bytes.map_or_else(|| "not told by this system".into(), units::bytes);
        lines.push(format!("peak RSS   {peak}, mapped weights included"));
        terminal::print(&(lines.join("\n") + "\n"))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_the_peak() {
        // A test binary holds more than a mebibyte and less than a tebibyte.
        let peak = super::peak_rss_bytes().expect("VmHWM");
        assert!((1 << 20..1 << 40).contains(&peak), "{peak}");
    }
}
