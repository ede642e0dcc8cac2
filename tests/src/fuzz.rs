//! Fuzzing on stable Rust: a target is fed inputs that are nearly right, and the contract of every command is held
//! against what it does with each.
//!
//! The contract: it returns, within bounded time; it never panics, in any thread; it takes at most 32 MiB and four times
//! the input; what it refuses, it refuses with one line of visible characters; and it leaves nothing behind.
//!
//! - `targets`: what is fed, its seeds, its words. An input is a file of some *form*: one target may have several, as
//!   `tokenizer.model` and `tokenizer.json`.
//! - `mutate`: from inputs to inputs, by the habits of the formats: numbers, lengths before what they measure, words.
//! - `ground`: which inputs led somewhere new. They are kept and mutated further. Built with
//!   `-Cinstrument-coverage --cfg coverage` (`scripts/fuzz` does): to a part of the program that was not reached before; else:
//!   to a new kind of sentence.
//!
//! A run is determined by its seed (with coverage: as far as threads let it). Every input lies in a file before it is tried: what ends the process (a stack
//! that overflows, a signal, a hang) leaves its input behind.

mod contract;
mod ground;
mod mutate;
mod seeds;
mod targets;
mod words;

pub use targets::{NAMES, Target};

use contract::Watch;
use ground::Ground;
use mutate::{Mutator, Random};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Which of the target's kinds of files it is.
    pub form: usize,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// How long, and with what.
#[derive(Clone, Debug)]
pub struct Options {
    /// Executions at most.
    pub executions: u64,
    /// Time at most.
    pub time: Duration,
    /// Of the random numbers.
    pub seed: u64,
    /// How inputs are made.
    pub change: Change,
    /// Where inputs lie: the one that is tried, those with findings, and those that are worth keeping.
    pub folder: PathBuf,
    /// Whether those are written there, and read from there at the start.
    pub keep: bool,
    /// Whether a line says every minute how far it is.
    pub report: bool,
}

/// How inputs are made of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// By the habits of the formats, also of inputs that led somewhere new.
    Any,
    /// One bit of a sound input.
    Bit,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Inputs that were tried.
    pub executions: u64,
    /// Those that the target took.
    pub accepted: u64,
    /// Inputs that led somewhere new.
    pub kept: usize,
    /// What broke the contract, and a file with the first input that did.
    pub findings: BTreeMap<String, PathBuf>,
}

/// Feeds a target.
///
/// # Errors
/// If the folder cannot be used.
pub fn fuzz(target: &mut Target, options: &Options) -> std::io::Result<Report> {
    std::fs::create_dir_all(&options.folder)?;
    let current = options.folder.join(format!("{}-current", target.name));
    let watch = Watch::start(current.clone());
    let mut random = Random(options.seed ^ 0x9E37_79B9_7F4A_7C15);
    let mut corpus = target.seeds.clone();
    if options.keep {
        corpus.extend(kept(&options.folder, target)?);
    }
    // What is there already goes first, as it is: it is the ground that is known.
    let n_known = corpus.len();
    let mut sound = target.seeds.clone();
    let (mut ground, mut report) = (Ground::default(), Report::default());
    let start = Instant::now();
    let mut said = start;
    while report.executions < options.executions && start.elapsed() < options.time {
        let at = report.executions as usize;
        let input = match at < n_known {
            true => corpus[at].clone(),
            // Half of them from what is sound: a change to a file that is refused seldom gets further than it did.
            false if options.change == Change::Bit => mutate::flip(&mut random, &target.seeds),
            false => {
                let of_sound = random.below(2) == 0;
                let from = if of_sound { &sound } else { &corpus };
                Mutator { random: &mut random, words: target.words }.mutate(from)
            }
        };
        std::fs::write(&current, &input.bytes)?;
        report.executions += 1;
        match watch.hold(target, &input) {
            Err(broken) => report.found(target, options, &broken, &input)?,
            Ok(told) => {
                let is_sound = told.is_ok();
                report.accepted += u64::from(is_sound);
                let told = told.err().map_or_else(String::new, |sentence| shape(&sentence));
                if ground.is_new(&told) && at >= n_known && options.change == Change::Any {
                    if options.keep {
                        let name = format!("{}-kept-{}-form-{}", target.name, corpus.len(), input.form);
                        std::fs::write(options.folder.join(name), &input.bytes)?;
                    }
                    if is_sound {
                        sound.push(input.clone());
                    }
                    corpus.push(input);
                }
            }
        }
        if options.report && said.elapsed() > Duration::from_secs(60) {
            said = Instant::now();
            report.kept = corpus.len();
            println!("{}", report.line(target.name, start.elapsed()));
        }
    }
    report.kept = corpus.len();
    std::fs::remove_file(&current)?;
    if options.report {
        println!("{}", report.line(target.name, start.elapsed()));
    }
    Ok(report)
}

/// Tries one input again.
///
/// # Errors
/// What breaks the contract.
pub fn again(target: &mut Target, input: &Input) -> Result<Result<(), String>, String> {
    Watch::start(PathBuf::from("this input")).hold(target, input)
}

impl Report {
    /// Keeps the input of what was not found before.
    fn found(
        &mut self,
        target: &Target,
        options: &Options,
        broken: &str,
        input: &Input,
    ) -> std::io::Result<()> {
        let n = self.findings.len();
        if let Entry::Vacant(place) = self.findings.entry(shape(broken)) {
            let path = options.folder.join(format!("{}-finding-{n}-form-{}", target.name, input.form));
            eprintln!("fuzz: {}: {broken}: {}", target.name, path.display());
            std::fs::write(&path, &input.bytes)?;
            place.insert(path);
        }
        Ok(())
    }

    fn line(&self, name: &str, time: Duration) -> String {
        let rate = self.executions as f64 / time.as_secs_f64();
        let Self { executions, accepted, kept, findings } = self;
        format!(
            "{name}: {} s, {executions} executions, {rate:.0} a second, {accepted} accepted, {kept} kept, {} findings",
            time.as_secs(),
            findings.len()
        )
    }
}

/// The inputs that an earlier run kept.
fn kept(folder: &Path, target: &Target) -> std::io::Result<Vec<Input>> {
    let prefix = format!("{}-kept-", target.name);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    let form = |path: &Path| path.to_str()?.rsplit_once("-form-")?.1.parse().ok();
    let mine =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
    let inputs = paths.iter().filter(|path| mine(path)).filter_map(|path| Some((form(path)?, path)));
    inputs.map(|(form, path)| Ok(Input { form, bytes: std::fs::read(path)? })).collect()
}

/// A sentence without what differs from input to input: paths, numbers, what is quoted, and its end.
fn shape(sentence: &str) -> String {
    const KEPT_CHARS: usize = 100;
    let words: String = sentence.split(' ').filter(|word| !word.contains('/')).collect();
    let mut quoted = false;
    let mut shape = String::new();
    for c in words.chars().take(KEPT_CHARS) {
        match c {
            '`' | '"' => quoted = !quoted,
            '0'..='9' if !quoted && !shape.ends_with('0') => shape.push('0'),
            c if !quoted && !c.is_ascii_digit() => shape.push(c),
            _ => {}
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_of_a_kind_have_one_shape() {
        assert_eq!(shape("a.gguf: at byte 128: `k` is 7"), shape("a.gguf: at byte 9: `long name` is 42"));
        assert_ne!(shape("at byte 1: cut short"), shape("at byte 1: twice"));
    }
}
