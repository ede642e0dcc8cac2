//! Feeds a target with nearly right inputs for as long as it is told: `scripts/fuzz` builds it with coverage and calls it.
//!
//! ```text
//! fuzz TARGET [SECONDS] [SEED] [FOLDER]     feed it; the folder keeps what was found, and what is worth going on from
//! fuzz TARGET flips N [SEED]                N sound inputs with one bit changed
//! fuzz TARGET try FILE                      try one input again (its form is the number at the end of its name)
//! ```
//! Exit status 1: something broke the contract.

#![forbid(unsafe_code)]

use llamita_tests::counting::Counting;
use llamita_tests::fuzz::{self, Change, Input, NAMES, Options, Target};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// All of it is work of rayon's pool: a join from outside wakes a thread and waits for it, which takes longer than most of
/// what is tried.
fn main() -> ExitCode {
    rayon::scope(|_| run())
}

fn run() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let Some(mut target) = args.first().and_then(|name| Target::new(name)) else {
        eprintln!(
            "fuzz TARGET [SECONDS] [SEED] [FOLDER]\nfuzz TARGET flips N [SEED]\nfuzz TARGET try FILE\ntargets: {}",
            NAMES.join(", ")
        );
        return ExitCode::from(2);
    };
    let sound = match args[1..] {
        ["flips", n, ..] => feed(&mut target, &args[1..], Change::Bit, n.parse().unwrap_or(0)),
        ["try", file] => try_again(&mut target, Path::new(file)),
        _ => feed(&mut target, &args, Change::Any, u64::MAX),
    };
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn feed(target: &mut Target, args: &[&str], change: Change, executions: u64) -> bool {
    let number = |at: usize, default: u64| args.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let folder = args.get(3).map_or_else(|| std::env::temp_dir().join("llamita-fuzz"), PathBuf::from);
    let is_timed = change == Change::Any;
    let time = if is_timed { Duration::from_secs(number(1, 60)) } else { Duration::MAX };
    let options =
        Options { executions, time, seed: number(2, 1), change, folder, keep: is_timed, report: true };
    match fuzz::fuzz(target, &options) {
        Ok(report) => report.findings.is_empty(),
        Err(error) => {
            eprintln!("fuzz: {}: {error}", options.folder.display());
            false
        }
    }
}

fn try_again(target: &mut Target, file: &Path) -> bool {
    let name = file.to_string_lossy();
    let form = name.rsplit_once("-form-").and_then(|(_, form)| form.parse().ok()).unwrap_or(0);
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("fuzz: {name}: {error}");
            return false;
        }
    };
    let outcome = fuzz::again(target, &Input { form, bytes });
    println!("{outcome:?}");
    outcome.is_ok()
}
