//! Both models read a text: how far are the predictions of one from the other's?

use crate::error::Error;
use crate::flags::Reading;
use crate::progress::{Progress, Unit};
use crate::{generation, interrupt};
use engine::{Divergence, MemoryPlan, Model, SessionOptions};
use kernels::{CacheType, CacheTypes};
use std::ops::ControlFlow;
use std::path::Path;

/// Runs `model` and `original` in lock-step, within so much memory.
///
/// # Errors
/// If a model cannot run, or the user stops it.
pub(super) fn compare(
    original: &Path,
    model: &Path,
    reading: &Reading,
    threads: usize,
    max_ram: Option<u64>,
) -> Result<Divergence, Error> {
    let (original, quantized) = (Model::open(original)?, Model::open(model)?);
    let cache = Some(CacheTypes::both(CacheType::F16));
    let options = |max_ram| SessionOptions {
        context: reading.context,
        cache,
        threads,
        max_ram: Some(max_ram),
        ..Default::default()
    };
    // What the smaller one wants, half at most; the rest is the original's.
    let mapped_bytes = original.file().n_bytes() + quantized.file().n_bytes();
    let ram = max_ram.unwrap_or_else(|| engine::available_bytes(mapped_bytes));
    let wanted = MemoryPlan::new(&quantized, &options(u64::MAX)).total_bytes().min(ram / 2);
    let mut session = generation::new_session(&quantized, &options(wanted))?;
    let mut reference = generation::new_session(&original, &options(ram - wanted))?;
    let progress = Progress::new("reading", Unit::Tokens);
    let context = reading.context;
    progress.set_total((reading.tokens.len() / context * context) as u64);
    let each = |_, _, mean| {
        progress.set_what(format!("divergence {mean:.5}"));
        progress.add(context as u64);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let divergence = engine::divergence(&mut session, &mut reference, &reading.tokens, context, each)?;
    drop(progress);
    if interrupt::requested() {
        let model = model.display();
        return Err(Error::Interrupted(format!(
            "interrupted: {model} is written, and the report without its predictions"
        )));
    }
    Ok(divergence)
}
