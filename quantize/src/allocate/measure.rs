//! How much an error in each matrix matters: the model reads a text while one matrix alone is spoilt, and its predictions
//! are compared with the whole model's.
//!
//! The divergence grows with the square of a small error, so one measurement a matrix gives the factor between a relative
//! squared error and what it does. A model of many layers is measured in some of them; between those, matrices of a kind
//! are alike enough for a straight line.

use super::errors;
use crate::{Error, Imatrix, Monitor, encode};
use blocks::TensorType;
use engine::{MemoryPlan, Model, Session, SessionOptions};
use gguf::{File, TensorInfo};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Tokens of a window.
const CONTEXT: usize = 256;

/// Layers that are measured at most.
const MAX_LAYERS: u64 = 8;

/// Tokens that are read for a matrix at most; multiply-adds that a large model's may take, beyond one window; and bytes of
/// the whole model's predictions, which are kept.
const MAX_TOKENS: usize = 2048;
const MAX_WORK: f64 = 2e12;
const MAX_LOGITS_BYTES: usize = 256 << 20;

/// A model, and what it reads of a text.
pub(super) struct Measurement {
    model: Model,
    windows: Vec<Vec<u32>>,
    context: usize,
}

impl Measurement {
    /// Of the file's model.
    ///
    /// # Errors
    /// If the model cannot run, or the text has not one window.
    pub(super) fn new(input: &File, text: &str) -> Result<Self, Error> {
        let model = Model::open(input.path())?;
        let context = CONTEXT.min(model.config().context_length);
        let windows = windows(&model, text, context)?;
        Ok(Self { model, windows, context })
    }

    /// For each of `spoilt`, a matrix's place in the file with the type and the relative error that it is tried with, the
    /// divergence for an error of 1. `None`, which is told: the model is bigger than the memory.
    ///
    /// # Errors
    /// If the model fails, or the user stops it.
    pub(super) fn sensitivities(
        self,
        input: &File,
        spoilt: &[(usize, TensorType, f64)],
        imatrix: Option<&Imatrix>,
        monitor: &dyn Monitor,
    ) -> Result<Option<Vec<f64>>, Error> {
        let Self { mut model, windows, context } = self;
        let options = SessionOptions { context, batch: context, ..SessionOptions::default() };
        if MemoryPlan::new(&model, &options).streaming.is_some() {
            monitor.note(
                "the model is bigger than the memory: how much each matrix matters is not measured, all count alike",
            );
            return Ok(None);
        }
        let original = logits(&model, &options, &windows)?;

        let layer_of = |at: usize| layer_and_kind(&input.tensors()[at].name);
        let n_layers = model.config().n_layers as u64;
        let is_measured = |i: &usize| layer_of(spoilt[*i].0).0.is_none_or(|layer| is_among(layer, n_layers));
        let all: Vec<usize> = (0..spoilt.len()).filter(is_measured).collect();
        let n_tokens = (windows.len() * context) as u64;
        monitor.start(n_tokens * all.len() as u64);
        let mut found: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for i in all {
            let (at, ty, error) = spoilt[i];
            let (layer, kind) = layer_of(at);
            // Where a type loses nothing there is nothing to measure.
            let sensitivity = if error > 0.0 {
                model.replace(at, spoil(input, &input.tensors()[at], ty, imatrix)?);
                divergence(&original, &logits(&model, &options, &windows)?, model.config().n_vocab) / error
            } else {
                0.0
            };
            found.entry(kind).or_default().push((layer.unwrap_or(0) as f64, sensitivity));
            monitor.advance(n_tokens)?;
        }
        let of = |&(at, ..): &(usize, TensorType, f64)| {
            let (layer, kind) = layer_of(at);
            found.get(kind).map_or(0.0, |points| between(points, layer.unwrap_or(0) as f64))
        };
        Ok(Some(spoilt.iter().map(of).collect()))
    }
}

/// The text's first windows, as many as there is work to spend on.
fn windows(model: &Model, text: &str, context: usize) -> Result<Vec<Vec<u32>>, Error> {
    let n_weights: f64 =
        model.weights().matrices().map(|matrix| matrix.n_rows as f64 * matrix.n_cols as f64).sum();
    let max_tokens = MAX_TOKENS
        .min((MAX_WORK / n_weights) as usize)
        .min(MAX_LOGITS_BYTES / size_of::<f32>() / model.config().n_vocab);
    let tokenizer = model.tokenizer();
    let tokens = tokenizer.encode(text, false);
    let n_bos = tokenizer.with_bos(Vec::new()).len();
    let windows = tokens.chunks_exact((context - n_bos).max(1)).take((max_tokens / context).max(1));
    let windows: Vec<_> = windows.map(|window| tokenizer.with_bos(window.to_vec())).collect();
    if windows.is_empty() {
        return Err(Error::Allocation(format!(
            "the text to measure with has {} tokens, but a window takes {context}: take a longer one",
            tokens.len()
        )));
    }
    Ok(windows)
}

/// The logits of every token of the windows.
fn logits(model: &Model, options: &SessionOptions, windows: &[Vec<u32>]) -> Result<Vec<f32>, Error> {
    let mut session = Session::new(model, options)?;
    let mut all = Vec::new();
    for window in windows {
        session.truncate(0);
        session.feed_each(
            window,
            |_| true,
            |_, logits| all.extend_from_slice(&logits[..model.config().n_vocab]),
        )?;
    }
    Ok(all)
}

fn divergence(original: &[f32], logits: &[f32], n_vocab: usize) -> f64 {
    let pairs = original.par_chunks_exact(n_vocab).zip(logits.par_chunks_exact(n_vocab));
    let n = original.len() / n_vocab;
    pairs.map(|(original, logits)| engine::kl_divergence(original, logits)).sum::<f64>() / n as f64
}

/// A matrix as it is after a time as `ty`, in its own type again.
fn spoil(
    input: &File,
    tensor: &TensorInfo,
    ty: TensorType,
    imatrix: Option<&Imatrix>,
) -> Result<Vec<u8>, Error> {
    let importance = imatrix.and_then(|imatrix| imatrix.importance(&tensor.name));
    let n_cols = tensor.n_cols();
    let mut bytes = vec![0; tensor.n_bytes as usize];
    let row_bytes = bytes.len() / (tensor.n_rows() as usize).max(1);
    bytes.par_chunks_exact_mut(row_bytes.max(1)).enumerate().try_for_each(|(row, bytes)| {
        let [mut weights, mut rounded] = [(); 2].map(|()| vec![0.0; n_cols as usize]);
        errors::rows(input, tensor, row as u64..row as u64 + 1, &mut weights)?;
        errors::round(ty, &weights, importance.as_deref(), &mut rounded);
        encode(tensor.ty, &rounded, None, bytes);
        Ok::<_, Error>(())
    })?;
    Ok(bytes)
}

/// `blk.7.attn_q.weight` is in layer 7, and an `attn_q.weight`.
fn layer_and_kind(name: &str) -> (Option<u64>, &str) {
    let parts = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    match parts.and_then(|(layer, kind)| Some((layer.parse().ok()?, kind))) {
        Some((layer, kind)) => (Some(layer), kind),
        None => (None, name),
    }
}

/// Whether a layer is one of at most `MAX_LAYERS` that lie evenly from the first to the last.
fn is_among(layer: u64, n_layers: u64) -> bool {
    n_layers <= MAX_LAYERS || (0..MAX_LAYERS).any(|i| i * (n_layers - 1) / (MAX_LAYERS - 1) == layer)
}

/// The value at `x` of the straight lines through points that are sorted by their first numbers.
fn between(points: &[(f64, f64)], x: f64) -> f64 {
    let right = points.partition_point(|point| point.0 < x);
    match (right.checked_sub(1).map(|left| points[left]), points.get(right)) {
        (Some((x0, y0)), Some(&(x1, y1))) => y0 + (y1 - y0) * (x - x0) / (x1 - x0),
        (Some((_, y)), None) | (None, Some(&(_, y))) => y,
        (None, None) => 0.0,
    }
}
