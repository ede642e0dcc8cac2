//! What a file has lost: `--report`, for people and for programs.
//!
//! Every error is a root: of the mean square of the errors over that of what they are errors of.

use crate::error::Error;
use crate::flags::Reading;
use crate::{terminal, units};
use engine::Divergence;
use gguf::{File, TensorSpec};
use quantize::{Draft, Loss, Share};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

#[derive(Serialize)]
pub(super) struct Report<'a> {
    original: String,
    model: String,
    file_bytes: u64,
    tensor_bytes: u64,
    bits_per_weight: f64,
    seconds: f64,
    /// The most that was held while the file was made, without mapped files, and with the pages of them that were there.
    peak_anonymous_bytes: Option<u64>,
    peak_resident_bytes: Option<u64>,
    /// Of all weights that were measured; roots of the means over the matrices.
    relative_rmse: Option<f64>,
    train_error: Option<f64>,
    held_out_error: Option<f64>,
    tensors: Vec<Row<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    predictions: Option<Predictions<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    shape: &'a [u64],
    from: &'static str,
    to: &'static str,
    bytes: u64,
    relative_rmse: Option<f64>,
    /// Of the outputs on the text that was learned from, and on what was held out of it.
    train_error: Option<f64>,
    held_out_error: Option<f64>,
    /// Rows by the method that they were taken from.
    rows: Option<Methods<u64>>,
    /// What each method alone would have lost on what was held out.
    held_out_error_by: Option<Methods<Option<f64>>>,
    /// How much correlations were shrunk, and how much of the errors of the layers below was made good.
    lambda: Option<f32>,
    strength: Option<f32>,
}

#[derive(Serialize)]
struct Methods<T> {
    plain: T,
    search: T,
    feedback: T,
}

/// How far the predictions are from the original's.
#[derive(Serialize)]
struct Predictions<'a> {
    text: &'a str,
    context: usize,
    perplexity_ratio: f64,
    perplexity_ratio_error: f64,
    #[serde(flatten)]
    divergence: Divergence,
}

/// What the work took.
pub(super) struct Cost {
    pub(super) time: Duration,
    pub(super) peak_anonymous_bytes: Option<u64>,
    pub(super) peak_resident_bytes: Option<u64>,
}

impl<'a> Report<'a> {
    /// Of a file that is written.
    pub(super) fn new(
        input: &'a File,
        output: &Path,
        draft: &'a Draft<'_>,
        losses: &[Option<Loss>],
        cost: &Cost,
    ) -> Self {
        let plan = draft.plan();
        let rows = input.tensors().iter().zip(plan.specs()).zip(losses);
        let mean = |share: &dyn Fn(&Loss) -> Option<Share>| {
            let shares = losses.iter().flatten().filter_map(share).filter(|share| share.whole > 0.0);
            let (sum, n) =
                shares.fold((0.0, 0.0), |(sum, n), share| (sum + share.error / share.whole, n + 1.0));
            if n > 0.0 { Share { error: sum, whole: n }.root() } else { None }
        };
        let all = losses.iter().flatten().fold(Share::default(), |mut all, loss| {
            all.add(loss.weights);
            all
        });
        Self {
            original: input.path().display().to_string(),
            model: output.display().to_string(),
            file_bytes: draft.file_bytes(),
            tensor_bytes: plan.tensor_bytes(),
            bits_per_weight: plan.bits_per_weight(),
            seconds: cost.time.as_secs_f64(),
            peak_anonymous_bytes: cost.peak_anonymous_bytes,
            peak_resident_bytes: cost.peak_resident_bytes,
            relative_rmse: if losses.iter().any(Option::is_some) { all.root() } else { None },
            train_error: mean(&|loss| loss.train),
            held_out_error: mean(&|loss| loss.held_out),
            tensors: rows
                .map(|((tensor, spec), loss)| Row::new(tensor.ty.name(), spec, loss.as_ref()))
                .collect(),
            predictions: None,
        }
    }

    /// Adds how far the predictions are from the original's.
    pub(super) fn predicts(&mut self, reading: &'a Reading, divergence: Divergence) {
        let ratio = divergence.ln_ratio.exp();
        self.predictions = Some(Predictions {
            text: &reading.name,
            context: reading.context,
            perplexity_ratio: ratio,
            perplexity_ratio_error: ratio * divergence.ln_ratio_error,
            divergence,
        });
    }

    /// Writes it as JSON, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let mut text =
            serde_json::to_string_pretty(self).map_err(|error| Error::Failed(error.to_string()))?;
        text.push('\n');
        let mut output = gguf::Output::create(path, text.len() as u64)?;
        output.write(text.as_bytes())?;
        Ok(output.finish()?)
    }

    /// Shows it on standard error.
    pub(super) fn show(&self) {
        let width =
            self.tensors.iter().map(|row| terminal::visible(row.name).chars().count()).max().unwrap_or(0);
        let mut text = format!(
            "{:width$}  {:16}  {:>10}  {:>8}  {:>8}  {:>8}  {:>21}  {:>5}\n",
            "tensor", "type", "bytes", "RMSE, %", "train, %", "held out", "plain/search/feedback", "λ"
        );
        for row in &self.tensors {
            let methods = row.rows.as_ref().map_or(String::new(), |rows| {
                let all = (rows.plain + rows.search + rows.feedback).max(1) as f64;
                let [a, b, c] = [rows.plain, rows.search, rows.feedback].map(|n| 100.0 * n as f64 / all);
                format!("{a:.0}/{b:.0}/{c:.0} %")
            });
            text += &format!(
                "{:width$}  {:16}  {:>10}  {:>8}  {:>8}  {:>8}  {methods:>21}  {:>5}\n",
                terminal::visible(row.name),
                format!("{} → {}", row.from, row.to),
                units::bytes(row.bytes),
                percent(row.relative_rmse),
                percent(row.train_error),
                percent(row.held_out_error),
                row.lambda.map_or(String::new(), |lambda| lambda.to_string()),
            );
        }
        let unknown =
            self.tensors.iter().filter(|row| row.from != row.to && row.relative_rmse.is_none()).count();
        if unknown > 0 {
            text += &format!(
                "{unknown} tensors were there from a run that was interrupted, and had not been asked to measure: what they \
                 lost is not known\n"
            );
        }
        let memory = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), units::bytes);
        text += &format!(
            "all: {}, {:.3} bits per weight; RMSE {} %, outputs {} % on what was learned from, {} % on what was held out\n\
             in {}, with {} of memory at most, {} with mapped files\n",
            units::bytes(self.file_bytes),
            self.bits_per_weight,
            percent(self.relative_rmse),
            percent(self.train_error),
            percent(self.held_out_error),
            units::duration(Duration::from_secs_f64(self.seconds)),
            memory(self.peak_anonymous_bytes),
            memory(self.peak_resident_bytes),
        );
        if let Some(Predictions {
            text: name,
            context,
            perplexity_ratio,
            perplexity_ratio_error,
            divergence,
        }) = &self.predictions
        {
            let &Divergence { mean, mean_error, median, percentile_99, same_top, .. } = divergence;
            text += &format!(
                "predictions of {}, {} tokens in windows of {context}: divergence {mean:.6} ± {mean_error:.6}, median \
                 {median:.6}, 99 % below {percentile_99:.5}; same likeliest token {:.2} %; perplexity × {perplexity_ratio:.5} ± \
                 {perplexity_ratio_error:.5}\n",
                terminal::visible(name),
                divergence.perplexity.n_tokens,
                100.0 * same_top,
            );
        }
        terminal::show(&text);
    }
}

impl<'a> Row<'a> {
    fn new(from: &'static str, spec: &'a TensorSpec, loss: Option<&Loss>) -> Self {
        let root = |share: Option<Share>| share.and_then(Share::root);
        let judgement = loss.and_then(|loss| loss.judgement);
        let rows = match (loss, judgement) {
            (_, Some(judged)) => Some(judged.n_rows),
            (Some(loss), None) if spec.ty.is_quantized() => {
                let n_rows = spec.shape.iter().skip(1).product();
                Some(if loss.train.is_some() { [0, n_rows, 0] } else { [n_rows, 0, 0] })
            }
            _ => None,
        };
        let whole = loss.and_then(|loss| loss.held_out).map_or(0.0, |share| share.whole);
        let by = judgement.map(|judged| judged.held_out.map(|error| Share { error, whole }.root()));
        Self {
            name: &spec.name,
            shape: &spec.shape,
            from,
            to: spec.ty.name(),
            bytes: spec.n_bytes().unwrap_or(0),
            relative_rmse: root(loss.map(|loss| loss.weights)),
            train_error: root(loss.and_then(|loss| loss.train)),
            held_out_error: root(loss.and_then(|loss| loss.held_out)),
            rows: rows.map(Methods::of),
            held_out_error_by: by.map(Methods::of),
            lambda: judgement.map(|judged| judged.shrink),
            strength: judgement.map(|judged| judged.strength),
        }
    }
}

impl<T> Methods<T> {
    fn of([plain, search, feedback]: [T; 3]) -> Self {
        Self { plain, search, feedback }
    }
}

fn percent(error: Option<f64>) -> String {
    error.map_or_else(|| "–".to_owned(), |error| units::digits(100.0 * error))
}
