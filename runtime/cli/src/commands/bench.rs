//! `llamita bench`: how fast this machine runs a model, and how fast it could.
//!
//! A rate alone does not say whether a kernel or the machine is slow; a share of a limit does. Making a token reads all
//! weights once, so its limit is the bandwidth of memory; reading a prompt multiplies every weight for each of its
//! tokens (in the last layer only those of keys and values), so its limit is the peak of the instruction that multiplies.
//! On a machine that others use too both move from second to second: they are looked at while the model runs, between the
//! layers of a prompt and the tokens of a text, and a run is compared with the mean of what was seen during it.
//!
//! `--against ggml` (a feature) does the same with llama.cpp: our run, theirs, ours, theirs, and the ratio of each pair.

#[cfg(feature = "ggml")]
mod against;
mod limits;
mod measure;
mod report;
mod start;
mod work;

use crate::error::Error;
use crate::flags::{self, SessionFlags};
use crate::generation;
use crate::progress::{Progress, Unit};
use crate::resident::Resident;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use engine::{MemoryPlan, Model, SessionOptions};
use limits::Limits;
use measure::{Bench, Test};
use report::{ModelReport, Report, Row};
use std::path::{Path, PathBuf};
use work::Work;

/// Measure how fast models run
///
/// The rate of reading a prompt is bound by arithmetic, the rate of making text by the bandwidth of memory.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  llamita bench llama-2-7b-q4_0.gguf -p 128 -n 32
  llamita bench a.gguf b.gguf -p 128,512 -n 32 --depth 0,4096 -t 1,2,4 --profile")]
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
    /// Threads that work; likewise; auto: the fast physical cores that this process may use
    #[arg(short, long, value_name = "N", value_delimiter = ',', default_value = "auto", value_parser = flags::threads)]
    threads: Vec<usize>,
    /// Measurements; the middle one counts
    #[arg(short, long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repetitions: u32,
    /// Measure the first token with the file dropped from memory, too
    #[arg(long)]
    cold: bool,
    /// Tell where the time goes, operation by operation
    #[arg(long)]
    profile: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    session: SessionFlags,
    #[command(flatten)]
    peer: PeerFlags,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Comparison")]
struct PeerFlags {
    /// Alternate with another engine in this process: llama.cpp on ggml
    #[arg(long, value_name = "ENGINE", value_parser = ["ggml"])]
    against: Option<String>,
    /// Whether it may keep weights in a layout of its own, in a second copy; both are measured by default
    #[arg(long, value_name = "on|off", value_delimiter = ',', default_value = "on,off", value_parser = on_or_off())]
    peer_repack: Vec<bool>,
    /// Whether it uses flash attention; likewise
    #[arg(long, value_name = "on|off", value_delimiter = ',', default_value = "on,off", value_parser = on_or_off())]
    peer_flash_attention: Vec<bool>,
}

/// Beyond a million tokens no model goes; a typing error should not reserve the address space of a trillion.
const MAX_TOKENS: u64 = 1 << 20;

fn n_tokens() -> impl clap::builder::TypedValueParser<Value = u64> {
    clap::value_parser!(u64).range(..=MAX_TOKENS)
}

fn on_or_off() -> impl clap::builder::TypedValueParser<Value = bool> {
    PossibleValuesParser::new(["on", "off"]).map(|value| value == "on")
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let tests = tests(args);
    if tests.is_empty() {
        return Err(Error::Call("nothing to measure: -p and -n are both 0".into()));
    }
    if cfg!(not(feature = "ggml")) && args.peer.against.is_some() {
        return Err(Error::Call(
            "--against: this build has no ggml; scripts/bench makes one that has (cargo's --features ggml)"
                .into(),
        ));
    }
    let context = tests.iter().map(Test::context).max().unwrap_or(0);
    let options = args.session.fixed_options(context, 0);
    // All are opened before the first is measured: a wrong name should not cost the minutes before it.
    let plans = args.models.iter().map(|path| Ok(MemoryPlan::new(&Model::open(path)?, &options)));
    let plans = plans.collect::<Result<Vec<_>, engine::Error>>()?;
    let threads = threads(args);
    let limits = Limits::new(&threads, options.isa, &plans)?;
    let machine = threads.iter().map(|&n| limits.machine(n)).collect::<Result<_, _>>()?;
    let models =
        args.models.iter().map(|path| measure_model(path, args, &tests, &threads, &options, &limits));
    let report = Report::new(&options, machine, models.collect::<Result<_, _>>()?);
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

/// Numbers of threads, each once.
fn threads(args: &Args) -> Vec<usize> {
    let mut threads = Vec::new();
    for &n in &args.threads {
        let n = if n == 0 { engine::n_cores() } else { n };
        if !threads.contains(&n) {
            threads.push(n);
        }
    }
    threads
}

fn measure_model(
    path: &Path,
    args: &Args,
    tests: &[Test],
    threads: &[usize],
    options: &SessionOptions,
    limits: &Limits,
) -> Result<ModelReport, Error> {
    // Before the model is opened: what a process has mapped stays in memory.
    let options = SessionOptions { threads: threads[0], ..options.clone() };
    let first_token = start::first_token(path, &options, args.cold)?;
    let resident = Resident::start();
    let model = Model::open(path)?;
    let work = Work::new(&model, &options);
    let tokens = tokens(&model, options.context);
    let mut rows = Vec::new();
    let progress = Progress::new("measuring", Unit::Tokens);
    let n_tokens: usize =
        tests.iter().map(|test| test.depth + test.n_tokens * (args.repetitions as usize + 1)).sum();
    progress.set_total((threads.len() * n_tokens) as u64);
    for &threads in threads {
        let options = SessionOptions { threads, ..options.clone() };
        let mut session = generation::new_session(&model, &options)?;
        let mut bench = Bench { session: &mut session, tokens: &tokens, limits, progress: &progress };
        for &test in tests {
            let measured = bench.measure(test, args.repetitions, work.limit(test))?;
            rows.push(Row::new(threads, test, &measured, &work, args.profile));
        }
    }
    let peak_rss_bytes = resident.and_then(|resident| resident.peak_bytes());
    drop(progress);
    #[cfg(feature = "ggml")]
    if args.peer.against.is_some() {
        against::compare(&model, &options, args, &tokens, &mut rows)?;
    }
    Ok(ModelReport { path: path.display().to_string(), work, first_token, peak_rss_bytes, rows })
}

/// Tokens all over the vocabulary: each row of the embedding is as likely to be read as another. Any will do, the
/// work does not depend on them; a fixed sequence makes two runs alike.
fn tokens(model: &Model, n: usize) -> Vec<u32> {
    // Steps of Knuth's multiplicative hash.
    let n_vocab = model.config().n_vocab as u64;
    (1..=n as u64).map(|i| ((i.wrapping_mul(2_654_435_761) >> 8) % n_vocab) as u32).collect()
}
