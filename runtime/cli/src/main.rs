//! The front door: parses the call, runs one command, and turns its end into an exit status.
//!
//! | status | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | it failed; one line on standard error says what, where, why and what to do |
//! | 2 | the call was wrong |
//! | 130 | interrupted by Ctrl-C, SIGTERM or SIGHUP |
//!
//! Text goes to standard output; progress, statistics and warnings go to standard error. The commands know the
//! libraries, the libraries do not know the commands: what they have to say comes back as errors and through
//! [`quantize::Monitor`].

#![forbid(unsafe_code)]

mod commands;
mod error;
mod fault;
mod flags;
mod generation;
mod interrupt;
mod progress;
mod resident;
mod source;
mod system;
mod terminal;
mod units;

use clap::Parser;
use error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

/// Turns Llama checkpoints into small files, and runs them on machines with little memory.
///
/// The way from a download to an answer is two commands:
///
///   llamita convert llama-2-7b-chat --type q4_0
///   llamita chat llama-2-7b-chat-q4_0.gguf
#[derive(Parser)]
#[command(version, verbatim_doc_comment, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,
}

const CUT_FILE: &str = "llamita: a file ended while it was in use, before bytes that its header tells of: it was cut or \
    written anew in its place, or its disk is failing; start again once it is whole\n";

fn main() -> ExitCode {
    fault::install_hook();
    let cli = Cli::parse_from(std::env::args_os().map(one_dash));
    interrupt::install();
    gguf::explain_cut_files(CUT_FILE);
    let result = fault::guard(|| cli.command.run());
    ExitCode::from(result.map_or_else(|error| report(&error), |()| 0))
}

/// Options that llama.cpp spells with one dash and several letters, which would be read as several options.
fn one_dash(arg: OsString) -> OsString {
    match arg.to_str() {
        Some("-ctk") => "--cache-type-k".into(),
        Some("-ctv") => "--cache-type-v".into(),
        _ => arg,
    }
}

/// Says what went wrong, where that has not been said yet; the exit status.
fn report(error: &Error) -> u8 {
    if let Some(sentence) = error.sentence() {
        terminal::say(&sentence);
    }
    error.exit_status()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
