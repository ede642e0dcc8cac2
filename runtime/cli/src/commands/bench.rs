//! `llamita bench`: how fast this machine runs a model, and how fast it could.
//!
//! Making a token reads all weights once, so the bandwidth of memory sets the limit. It is measured in the same run,
//! with the same threads, and the share that the model reached stands beside the rate: a share says whether a kernel
//! or the machine is slow, a rate alone does not.

mod report;

use crate::error::Error;
use crate::flags::EngineFlags;
use crate::generation;
use crate::interrupt;
use crate::progress::{Progress, Unit};
use engine::{Model, Profile, Session};
use kernels::{Isa, Team};
use report::{Machine, Report, Row, Test};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Measure how fast models run
///
/// The rate of reading a prompt is bound by arithmetic, the rate of making text by the bandwidth of memory.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  llamita bench llama-2-7b-q4_0.gguf -p 128 -n 32
  llamita bench a.gguf b.gguf -p 128,512 -n 32 --depth 0,4096 --profile")]
pub(crate) struct Args {
    /// The models
    #[arg(value_name = "MODEL.gguf", required = true)]
    models: Vec<PathBuf>,
    /// Tokens of prompt to read; several, separated by commas, are measured one after another; 0: none
    #[arg(short = 'p', long, value_name = "N", value_delimiter = ',', default_value = "512", value_parser = n_tokens())]
    prompt: Vec<u64>,
    /// Tokens of text to make; likewise
    #[arg(short = 'n', long = "tokens", value_name = "N", value_delimiter = ',', default_value = "128", value_parser = n_tokens())]
    text: Vec<u64>,
    /// Tokens that stand in the context before each measurement; likewise
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "0", value_parser = n_tokens())]
    depth: Vec<u64>,
    /// Measurements; the middle one counts
    #[arg(short, long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repetitions: u32,
    /// Tell where the time goes, operation by operation
    #[arg(long)]
    profile: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineFlags,
}

/// Beyond a million tokens no model goes; a typing error should not reserve the address space of a trillion.
const MAX_TOKENS: u64 = 1 << 20;

fn n_tokens() -> impl clap::builder::TypedValueParser<Value = u64> {
    clap::value_parser!(u64).range(..=MAX_TOKENS)
}

/// How long the bandwidth is measured: the best of a few passes.
const BANDWIDTH_TIME: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let tests = tests(args);
    if tests.is_empty() {
        return Err(Error::Call("nothing to measure: -p and -n are both 0".into()));
    }
    // All are opened before the first is measured: a wrong name should not cost the minutes before it.
    let models = args.models.iter().map(Model::open).collect::<Result<Vec<_>, _>>()?;
    let context = tests.iter().map(Test::context).max().unwrap_or(0);
    let options = args.engine.options(context);
    let (mut rows, mut n_threads) = (Vec::new(), 0);
    for (path, model) in args.models.iter().zip(&models) {
        let mut session = generation::new_session(model, &options)?;
        n_threads = session.n_threads();
        let progress = Progress::new("measuring", Unit::Tokens);
        let n_tokens: usize = tests.iter().map(Test::context).sum();
        progress.set_total((args.repetitions as u64 + 1) * n_tokens as u64);
        let mut bench = Bench { session: &mut session, tokens: tokens(model, context), progress };
        for &test in &tests {
            let measured = bench.measure(test, args.repetitions)?;
            let bytes = weight_bytes_per_token(model.file());
            rows.push(Row::new(path, test, &measured, bytes, args.profile));
        }
    }
    // Before the bandwidth is measured: that takes memory of its own.
    let peak_rss_bytes = peak_rss_bytes();
    let machine = Machine::measure(n_threads, options.isa)?;
    let report = Report::new(machine, rows, peak_rss_bytes);
    if args.json { crate::terminal::print_json(&report) } else { report.print() }
}

/// What is measured of each model: prompts, then texts, at each depth.
fn tests(args: &Args) -> Vec<Test> {
    let mut tests = Vec::new();
    for &depth in &args.depth {
        for (is_prompt, lengths) in [(true, &args.prompt), (false, &args.text)] {
            let lengths = lengths.iter().filter(|&&n| n > 0);
            tests.extend(lengths.map(|&n| Test { is_prompt, depth: depth as usize, n_tokens: n as usize }));
        }
    }
    tests
}

impl Machine {
    fn measure(n_threads: usize, isa: Isa) -> Result<Self, Error> {
        let team = Team::new(n_threads, isa)
            .map_err(|error| Error::Failed(format!("no threads can be made: {error}")))?;
        let read_bytes_per_second = kernels::read_bandwidth(&team, BANDWIDTH_TIME);
        Ok(Self { isa: isa.name(), threads: n_threads, read_bytes_per_second })
    }
}

struct Bench<'s, 'm> {
    session: &'s mut Session<'m>,
    tokens: Vec<u32>,
    progress: Progress,
}

/// The times of a test, sorted, and where the time of all of them went.
struct Measured {
    times: Vec<Duration>,
    profile: Profile,
}

impl Bench<'_, '_> {
    /// Feeds the test's tokens again and again. A first time, not counted, brings the weights into memory.
    fn measure(&mut self, test: Test, repetitions: u32) -> Result<Measured, Error> {
        let Test { is_prompt, depth, n_tokens } = test;
        let mut times = Vec::new();
        let mut profile = Profile::default();
        for repetition in 0..=repetitions {
            interrupt::check()?;
            self.session.truncate(0);
            if depth > 0 {
                self.session.feed(&self.tokens[..depth])?;
            }
            self.session.take_profile();
            let start = Instant::now();
            let step = if is_prompt { n_tokens } else { 1 };
            for tokens in self.tokens[depth..depth + n_tokens].chunks(step) {
                self.session.feed(tokens)?;
            }
            if repetition > 0 {
                times.push(start.elapsed());
                profile += &self.session.take_profile();
            }
            self.progress.add((depth + n_tokens) as u64);
        }
        times.sort();
        Ok(Measured { times, profile })
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
