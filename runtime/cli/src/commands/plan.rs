//! `llamita plan`: what a model will take, before it is loaded.

use crate::error::Error;
use crate::flags::{CacheFlags, MemoryFlags};
use crate::{terminal, units};
use engine::{MemoryPlan, Model, SessionOptions};
use serde::Serialize;
use std::path::PathBuf;

/// Say how much memory a model needs, and whether this machine has it
///
/// Only the header of the file is read.
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
    if args.json {
        return terminal::print_json(&Report {
            plan: &plan,
            total_bytes: plan.total_bytes(),
            fits: plan.fits(),
        });
    }
    let per_token = units::bytes(plan.kv_bytes_per_token);
    let cache = format!(
        "{} tokens of {per_token} ({}); it grows as the text does",
        units::count(plan.context),
        options.cache
    );
    let answer =
        if plan.fits() { "it fits" } else { "it does not fit: a smaller --context or type of file helps" };
    let rows = [
        ("weights", plan.weights_bytes, "used where they lie in the file"),
        ("KV cache", plan.kv_cache_bytes, &cache),
        ("scratch", plan.scratch_bytes, "activations of a pass"),
        ("tables", plan.tables_bytes, "tokenizer and rotations"),
        ("total", plan.total_bytes(), ""),
        ("available", plan.available_bytes, answer),
    ];
    for (name, n_bytes, note) in rows {
        let line = format!("{name:<10} {:>10}   {note}", units::bytes(n_bytes));
        terminal::print(&format!("{}\n", line.trim_end()))?;
    }
    Ok(())
}
