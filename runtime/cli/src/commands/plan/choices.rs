//! What would make a model that does not fit faster: a shorter context, a smaller cache, a smaller file.

use engine::{MemoryPlan, Model, SessionOptions, Speeds};
use kernels::{CacheType, CacheTypes};
use quantize::FileType;
use serde::Serialize;

/// A choice that is not this much faster, with a full context or a short one, is none.
const WORTH: f64 = 1.1;

/// Shorter contexts than this are of little use.
const MIN_CONTEXT: u64 = 512;

/// Something else that could be done.
#[derive(Debug, Serialize)]
pub(super) struct Choice {
    /// In words of the command line.
    pub what: String,
    pub total_bytes: u64,
    pub fits: bool,
    pub tokens_per_second: f64,
    pub tokens_per_second_full: f64,
}

/// What is worth it; nothing where all fits.
pub(super) fn choices(
    model: &Model,
    options: &SessionOptions,
    plan: &MemoryPlan,
    speeds: &Speeds,
) -> Vec<Choice> {
    if plan.fits() {
        return Vec::new();
    }
    let choice = |what: String, other: MemoryPlan| Choice {
        what,
        total_bytes: other.total_bytes(),
        fits: other.fits(),
        tokens_per_second: other.tokens_per_second(speeds, 0),
        tokens_per_second_full: other.tokens_per_second(speeds, other.context),
    };
    let contexts = std::iter::successors(Some(plan.context / 2), |&n| Some(n / 2));
    let contexts = contexts.take_while(|&n| n >= MIN_CONTEXT).map(|n| {
        let options = SessionOptions { context: n as usize, ..options.clone() };
        choice(format!("--context {n}"), MemoryPlan::new(model, &options))
    });
    let caches = [CacheType::Q8_0, CacheType::Q4_0].map(|ty| {
        // The same context, also where it was the plan's choice.
        let context = plan.context as usize;
        let options = SessionOptions { cache: Some(CacheTypes::both(ty)), context, ..options.clone() };
        choice(format!("--cache-type {ty}"), MemoryPlan::new(model, &options))
    });
    let files = smaller_files(model);
    let files = files.map(|(name, part)| {
        choice(format!("a file of type {name}"), MemoryPlan::of_size(model, options, part))
    });
    let is_worth = |choice: &Choice| {
        choice.tokens_per_second >= WORTH * plan.tokens_per_second(speeds, 0)
            || choice.tokens_per_second_full >= WORTH * plan.tokens_per_second(speeds, plan.context)
    };
    contexts.chain(caches).chain(files).filter(is_worth).collect()
}

/// Of file types of about the same size, the one to take.
const FILE_TYPES: [FileType; 8] = [
    FileType::Q8_0,
    FileType::Q6K,
    FileType::Q5KM,
    FileType::Q4KM,
    FileType::Q4_0,
    FileType::Iq4Xs,
    FileType::Q3KM,
    FileType::Q2K,
];

/// Types of files that are smaller than this one, and about which part of it they are. The types of a few tensors that
/// such files keep more exact are left out of account.
fn smaller_files(model: &Model) -> impl Iterator<Item = (&'static str, f64)> {
    let tensors = model.file().tensors();
    let n_bytes: u64 = tensors.iter().map(|tensor| tensor.n_bytes).sum();
    let n_weights: u64 = tensors.iter().map(gguf::TensorInfo::n_elements).sum();
    FILE_TYPES.into_iter().filter_map(move |file| {
        let ty = file.matrices();
        let bits = ty.block_bytes() as f64 / ty.block_len() as f64;
        let part = bits * n_weights as f64 / n_bytes as f64;
        (part < 0.95).then_some((file.name(), part))
    })
}
