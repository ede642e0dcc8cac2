//! How far a model's predictions are from those of the model that it was made from.
//!
//! Perplexity asks how well a model predicts one text; a smaller model may be luckier on it. The Kullback–Leibler
//! divergence asks about every token that could have come: Σ p ln(p / q), with p the original's probabilities and q
//! this model's. It is 0 for the same model and nothing else, and its error is a tenth of that of a difference of
//! perplexities. The two models run in lock-step over the same windows as [`perplexity`](crate::perplexity()), so no
//! file of logits is kept: those of a vocabulary of 32 000 would take 64 KB for each token. Where there is no room for
//! both, the original runs first and leaves a [`Base`], which has the part of each prediction that matters.

mod base;
mod prediction;

pub use base::Base;

use crate::perplexity::{Sum, log_softmax, n_windows, predicts};
use crate::windows::begin_window;
use crate::{Error, Perplexity, Session};
use std::ops::ControlFlow;

/// Logits of the original that wait for the other model's: a window's at most, and no more than this where a
/// vocabulary is large.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// How a model differs from its original on a text. Divergences are in nats.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Divergence {
    /// Mean divergence of a prediction.
    pub mean: f64,
    /// Its standard error.
    pub mean_error: f64,
    /// Half of the predictions diverge less.
    pub median: f64,
    /// One in a hundred diverges more.
    pub percentile_99: f64,
    /// The largest.
    pub largest: f64,
    /// Share of the predictions, 0 to 1, whose likeliest token is the same.
    pub same_top: f64,
    /// ln of the model's perplexity over the original's.
    pub ln_ratio: f64,
    /// Its standard error. It is smaller than that of either perplexity: both have read the same text.
    pub ln_ratio_error: f64,
    /// The model's own.
    pub perplexity: Perplexity,
    /// The original's.
    pub reference: Perplexity,
}

/// Runs `session` and `reference` over the windows of a text as [`perplexity`](crate::perplexity()) does.
/// `each(windows done, windows in all, mean so far)` may stop it.
///
/// # Errors
/// As of [`perplexity`](crate::perplexity()), and if the vocabularies are not of the same size.
pub fn divergence(
    session: &mut Session<'_>,
    reference: &mut Session<'_>,
    tokens: &[u32],
    context: usize,
    mut each: impl FnMut(usize, usize, f64) -> ControlFlow<()>,
) -> Result<Divergence, Error> {
    let n_vocab = reference.model().config().n_vocab;
    if session.model().config().n_vocab != n_vocab {
        return Err(Error::Request(format!(
            "a vocabulary of {} tokens and one of {n_vocab}: these are not two forms of the same model",
            session.model().config().n_vocab
        )));
    }
    let n_windows = n_windows(session, tokens, context)?;
    self::n_windows(reference, tokens, context)?;
    let at_once = (MAX_WAITING_BYTES / size_of::<f32>() / n_vocab).clamp(1, context);
    let mut waiting = Vec::with_capacity(at_once.min(context.div_ceil(2)) * n_vocab);
    let mut window = Vec::with_capacity(context);
    let mut sums = Sums::default();
    for (done, text) in tokens.chunks_exact(context).enumerate() {
        begin_window(reference, text, &mut window);
        begin_window(session, text, &mut window);
        for (piece, first) in window.chunks(at_once).zip((0..).step_by(at_once)) {
            waiting.clear();
            let wanted = |index: usize| predicts(context, first + index);
            reference.feed_each(piece, wanted, |_, logits| waiting.extend_from_slice(logits))?;
            let mut originals = waiting.chunks_exact(n_vocab);
            session.feed_each(piece, wanted, |index, logits| {
                let original = originals.next().expect("as many logits from either model");
                sums.add(original, logits, text[first + index + 1]);
            })?;
        }
        if each(done + 1, n_windows, sums.mean()).is_break() {
            return Ok(sums.divergence(done + 1));
        }
    }
    Ok(sums.divergence(n_windows))
}

/// What is known of the predictions so far.
#[derive(Default)]
struct Sums {
    model: Sum,
    reference: Sum,
    /// Of the differences of the negative log-likelihoods.
    ratio: Moments,
    divergence: Moments,
    n_same_top: usize,
    /// Each prediction's divergence, for the percentiles.
    all: Vec<f32>,
}

impl Sums {
    fn add(&mut self, original: &[f32], logits: &[f32], next: u32) {
        let same_top = top(original) == top(logits);
        self.add_one(-log_softmax(original, next), same_top, kl_divergence(original, logits), logits, next);
    }

    /// The same, of what is known of the original: −ln p of `next`, whether its likeliest token is the model's, and the
    /// divergence.
    fn add_one(&mut self, reference: f64, same_top: bool, divergence: f64, logits: &[f32], next: u32) {
        let model = -log_softmax(logits, next);
        self.model.add(model);
        self.reference.add(reference);
        self.ratio.add(model - reference);
        self.n_same_top += usize::from(same_top);
        self.divergence.add(divergence);
        self.all.push(divergence as f32);
    }

    fn mean(&self) -> f64 {
        self.divergence.mean()
    }

    fn divergence(mut self, n_windows: usize) -> Divergence {
        self.all.sort_unstable_by(f32::total_cmp);
        let n = self.all.len();
        let percentile = |share: f64| f64::from(self.all[((n - 1) as f64 * share).round() as usize]);
        Divergence {
            mean: self.mean(),
            mean_error: self.divergence.error_of_mean(),
            median: percentile(0.5),
            percentile_99: percentile(0.99),
            largest: percentile(1.0),
            same_top: self.n_same_top as f64 / n as f64,
            ln_ratio: self.ratio.mean(),
            ln_ratio_error: self.ratio.error_of_mean(),
            perplexity: self.model.perplexity(n_windows),
            reference: self.reference.perplexity(n_windows),
        }
    }
}

/// Numbers, summed with their squares.
#[derive(Default)]
struct Moments {
    n: usize,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, x: f64) {
        self.n += 1;
        self.sum += x;
        self.squares += x * x;
    }

    fn mean(&self) -> f64 {
        self.sum / self.n as f64
    }

    fn error_of_mean(&self) -> f64 {
        let n = self.n as f64;
        let variance = (self.squares / n - self.mean() * self.mean()).max(0.0);
        (variance / (n - 1.0).max(1.0)).sqrt()
    }
}

/// The likeliest token; the first of equals.
fn top(logits: &[f32]) -> usize {
    let better = |best: usize, (at, &logit): (usize, &f32)| if logit > logits[best] { at } else { best };
    logits.iter().enumerate().fold(0, better)
}

/// Σ p ln(p / q) of the probabilities that two sets of logits stand for. What is subtracted from logits cancels out of
/// it, so each side's largest is, for the range of the exponentials.
pub fn kl_divergence(original: &[f32], logits: &[f32]) -> f64 {
    let [p_max, q_max] =
        [original, logits].map(|logits| logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let (mut p_sum, mut q_sum, mut difference) = (0.0, 0.0, 0.0);
    for (&p, &q) in original.iter().zip(logits) {
        let (p, q) = (f64::from(p - p_max), f64::from(q - q_max));
        let weight = p.exp();
        p_sum += weight;
        q_sum += q.exp();
        difference += weight * (p - q);
    }
    (difference / p_sum - p_sum.ln() + q_sum.ln()).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionOptions;
    use crate::tiny::{Random, Tiny};

    #[test]
    fn a_divergence_is_what_its_formula_says() {
        let ln = f32::ln;
        for (p, q, expected) in [
            ([0.5f64, 0.25, 0.25], [0.5f64, 0.25, 0.25], 0.0),
            ([0.5, 0.25, 0.25], [0.25, 0.5, 0.25], 0.25 * 2f64.ln()),
            ([0.9, 0.05, 0.05], [0.1, 0.45, 0.45], 0.9 * 9f64.ln() - 0.1 * 9f64.ln()),
        ] {
            // Any number added to all logits changes nothing.
            let original = p.map(|p| ln(p as f32) + 30.0);
            let logits = q.map(|q| ln(q as f32) - 500.0);
            let found = kl_divergence(&original, &logits);
            assert!((found - expected).abs() < 1e-4, "{found} of {expected}");
        }
        assert_eq!(top(&[1.0, 3.0, 2.0, 3.0]), 1);
    }

    #[test]
    fn percentiles_and_errors_are_those_of_the_predictions() {
        let mut sums = Sums::default();
        let mut random = Random(5);
        let mut all = Vec::new();
        for _ in 0..101 {
            let mut logits = || [(); 3].map(|()| (random.next() % 1000) as f32 * 1e-3);
            let (original, model) = (logits(), logits());
            all.push(kl_divergence(&original, &model));
            sums.add(&original, &model, 1);
        }
        let mean = all.iter().sum::<f64>() / 101.0;
        let variance = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 100.0;
        all.sort_by(f64::total_cmp);
        let found = sums.divergence(1);
        let expected = [
            (found.mean, mean),
            (found.mean_error, (variance / 101.0).sqrt()),
            (found.median, all[50]),
            (found.percentile_99, all[99]),
            (found.largest, all[100]),
            (found.ln_ratio, (found.perplexity.perplexity / found.reference.perplexity).ln()),
        ];
        assert!(expected.iter().all(|(found, expected)| (found - expected).abs() < 1e-6), "{expected:?}");
    }

    #[test]
    fn a_model_does_not_differ_from_itself_but_from_another() {
        let mut other = Tiny::new();
        other.config.rope_base = 100.0;
        let (one, other) = (Tiny::new().model(), other.model());
        let options = SessionOptions { context: 20, threads: 1, ..Default::default() };
        let [mut same, mut reference, mut changed] =
            [&one, &one, &other].map(|model| Session::new(model, &options).unwrap());
        let mut random = Random(11);
        let tokens: Vec<u32> = (0..50).map(|_| (random.next() % 300) as u32).collect();
        let go = |_, _, _| ControlFlow::Continue(());
        let found = divergence(&mut same, &mut reference, &tokens, 20, go).unwrap();
        assert_eq!((found.mean, found.largest, found.same_top, found.ln_ratio), (0.0, 0.0, 1.0, 0.0));
        assert_eq!((found.perplexity, found.perplexity.n_tokens), (found.reference, 18));

        let found = divergence(&mut changed, &mut reference, &tokens, 20, go).unwrap();
        let alone =
            crate::perplexity(&mut changed, &tokens, 20, |_, _, _| ControlFlow::Continue(())).unwrap();
        assert!(found.mean > 1e-6 && found.largest >= found.percentile_99 && found.median > 0.0, "{found:?}");
        assert_eq!(found.perplexity, alone);
    }

    #[test]
    fn models_of_other_vocabularies_are_refused_in_words() {
        let mut other = Tiny::new();
        other.config.n_vocab = 301;
        let (one, other) = (Tiny::new().model(), other.model());
        let options = SessionOptions { context: 20, threads: 1, ..Default::default() };
        let [mut one, mut other] = [&one, &other].map(|model| Session::new(model, &options).unwrap());
        let error =
            divergence(&mut one, &mut other, &[5; 100], 20, |_, _, _| ControlFlow::Continue(())).unwrap_err();
        assert!(error.to_string().contains("not two forms of the same model"), "{error}");
    }
}
