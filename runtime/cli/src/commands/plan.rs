//! `llamita plan`: what a model will take, before it is loaded, and how fast it will be.

mod choices;

use crate::error::Error;
use crate::flags::{CacheFlags, MemoryFlags};
use crate::{terminal, units};
use choices::{Choice, choices};
use engine::{MemoryPlan, Model, Probe, SessionOptions, Speeds};
use serde::Serialize;
use std::path::PathBuf;

/// Say how much memory a model needs, whether this machine has it, and how fast it will be
///
/// For a few seconds weights are read from the disk and multiplied, to know the speed of both. A model that does not fit
/// runs too: what is missing is read from the disk for each token.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model
    #[arg(value_name = "MODEL.gguf")]
    model: PathBuf,
    /// Tokens of context [default: what the model was trained for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    context: Option<u32>,
    #[command(flatten)]
    cache: CacheFlags,
    #[command(flatten)]
    memory: MemoryFlags,
    /// Take this as what the disk gives, in millions of bytes a second: another disk, perhaps [default: it is measured]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    storage_mbps: Option<u32>,
    /// Write JSON, in bytes
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'p> {
    #[serde(flatten)]
    plan: &'p MemoryPlan,
    total_bytes: u64,
    fits: bool,
    #[serde(flatten)]
    speeds: Speeds,
    /// Of text, while it is short.
    tokens_per_second: f64,
    /// When the context is full.
    tokens_per_second_full: f64,
    /// What would be faster.
    choices: Vec<Choice>,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let model = Model::open(&args.model)?;
    let options = SessionOptions {
        context: args.context.unwrap_or(0) as usize,
        cache: args.cache.types(),
        max_ram: args.memory.max_ram(),
        ..SessionOptions::default()
    };
    let plan = MemoryPlan::new(&model, &options);
    let mut speeds = Probe::new(&model, plan.budget_bytes / 4)?.speeds(&options)?;
    if let Some(mbps) = args.storage_mbps {
        speeds.disk_bytes_per_second = f64::from(mbps) * 1e6;
    }
    let report = Report {
        plan: &plan,
        total_bytes: plan.total_bytes(),
        fits: plan.fits(),
        speeds,
        tokens_per_second: plan.tokens_per_second(&speeds, 0),
        tokens_per_second_full: plan.tokens_per_second(&speeds, plan.context),
        choices: choices(&model, &options, &plan, &speeds),
    };
    if args.json { terminal::print_json(&report) } else { print(&report) }
}

fn print(report: &Report<'_>) -> Result<(), Error> {
    let Report { plan, speeds, .. } = report;
    let per_token = units::bytes(plan.kv_bytes_per_token);
    let cache = format!(
        "{} tokens of {per_token} ({}); it grows as the text does",
        units::count(plan.context),
        plan.cache
    );
    let (weights, answer) = match &plan.streaming {
        None => ("used where they lie in the file".to_owned(), "it fits".to_owned()),
        Some(streaming) => (
            format!(
                "{} stay in memory, {} are read from the disk for each token",
                units::bytes(streaming.pinned_bytes),
                units::bytes(plan.streamed_bytes(0))
            ),
            format!("it does not fit, but runs, with {} at least", units::bytes(streaming.minimum_bytes)),
        ),
    };
    let rows = [
        ("weights", plan.weights_bytes, weights),
        ("KV cache", plan.kv_cache_bytes, cache),
        ("scratch", plan.scratch_bytes, "activations of a pass".to_owned()),
        ("tables", plan.tables_bytes, "tokenizer and rotations".to_owned()),
        ("total", report.total_bytes, String::new()),
        ("available", plan.available_bytes, String::new()),
        ("to use", plan.budget_bytes, answer),
    ];
    for (name, n_bytes, note) in rows {
        let line = format!("{name:<10} {:>10}   {note}", units::bytes(n_bytes));
        terminal::print(&format!("{}\n", line.trim_end()))?;
    }
    let readers = match speeds.disk_readers {
        None => String::new(),
        Some(1) => " to one reader".to_owned(),
        Some(n) => format!(" to {n} readers"),
    };
    terminal::print(&format!(
        "speed      {} tokens/s, {} when the context is full: {} of weights are multiplied in a second, the disk gives \
         {}{readers}\n",
        units::digits(report.tokens_per_second),
        units::digits(report.tokens_per_second_full),
        units::bytes(speeds.weight_bytes_per_second as u64),
        units::bytes(speeds.disk_bytes_per_second as u64),
    ))?;
    for choice in &report.choices {
        let fits = if choice.fits { "fits" } else { "does not fit" };
        terminal::print(&format!(
            "faster     {}: {}, {fits}, {} tokens/s, {} when the context is full\n",
            choice.what,
            units::bytes(choice.total_bytes),
            units::digits(choice.tokens_per_second),
            units::digits(choice.tokens_per_second_full),
        ))?;
    }
    Ok(())
}
