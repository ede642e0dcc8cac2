//! The commands, each in its own file: its flags and what it does.

mod bench;
mod chat;
mod convert;
mod imatrix;
mod inspect;
mod perplexity;
mod plan;
mod quantize;
mod run;
mod tokenize;

use crate::error::Error;

/// What can be asked for.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    Convert(convert::Args),
    Quantize(quantize::Args),
    Imatrix(imatrix::Args),
    Run(run::Args),
    Chat(chat::Args),
    Perplexity(perplexity::Args),
    Bench(bench::Args),
    Inspect(inspect::Args),
    Tokenize(tokenize::Args),
    Plan(plan::Args),
}

impl Command {
    /// Does it.
    pub(crate) fn run(self) -> Result<(), Error> {
        match self {
            Self::Convert(args) => convert::run(&args),
            Self::Quantize(args) => quantize::run(&args),
            Self::Imatrix(args) => imatrix::run(&args),
            Self::Run(args) => run::run(&args),
            Self::Chat(args) => chat::run(&args),
            Self::Perplexity(args) => perplexity::run(&args),
            Self::Bench(args) => bench::run(&args),
            Self::Inspect(args) => inspect::run(&args),
            Self::Tokenize(args) => tokenize::run(&args),
            Self::Plan(args) => plan::run(&args),
        }
    }
}
