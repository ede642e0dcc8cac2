//! Perplexity as llama.cpp measures it, so that figures compare.

use crate::windows::begin_window;
use crate::{Error, Session};
use std::ops::ControlFlow;

/// With fewer windows an error estimate means nothing, and llama.cpp refuses as well.
const MIN_WINDOWS: usize = 2;

/// The shortest window in which the second half predicts a token.
const MIN_CONTEXT: usize = 4;

/// How well a model predicts a text.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Perplexity {
    /// exp of the mean negative log-likelihood.
    pub perplexity: f64,
    /// Its standard error.
    pub error: f64,
    /// Tokens that were predicted.
    pub n_tokens: usize,
    /// Windows.
    pub n_windows: usize,
}

/// Windows of `context` tokens over `tokens`, which were encoded with BOS first where the model wants one. Where it
/// does, BOS replaces each window's first token; positions n/2 … n−2 predict the tokens after them; the tail is
/// dropped. `each(windows done, windows in all, so far)` may stop it. The session is emptied before each window.
///
/// # Errors
/// If the windows are too short or longer than the session's context, or the text is shorter than two of them.
pub fn perplexity(
    session: &mut Session<'_>,
    tokens: &[u32],
    context: usize,
    mut each: impl FnMut(usize, usize, Perplexity) -> ControlFlow<()>,
) -> Result<Perplexity, Error> {
    let n_windows = n_windows(session, tokens, context)?;
    let mut sum = Sum::default();
    let mut window = Vec::with_capacity(context);
    for (done, text) in tokens.chunks_exact(context).enumerate() {
        begin_window(session, text, &mut window);
        session.feed_each(
            &window,
            |index| predicts(context, index),
            |index, logits| sum.add(-log_softmax(logits, text[index + 1])),
        )?;
        if each(done + 1, n_windows, sum.perplexity(done + 1)).is_break() {
            return Ok(sum.perplexity(done + 1));
        }
    }
    Ok(sum.perplexity(n_windows))
}

/// How many windows there are.
///
/// # Errors
/// As of [`perplexity`].
pub(crate) fn n_windows(session: &Session<'_>, tokens: &[u32], context: usize) -> Result<usize, Error> {
    if !(MIN_CONTEXT..=session.context()).contains(&context) {
        return Err(Error::Request(format!(
            "windows of {context} tokens: they must have at least {MIN_CONTEXT} and fit the session's context of {}",
            session.context()
        )));
    }
    let n_windows = tokens.len() / context;
    if n_windows < MIN_WINDOWS {
        return Err(Error::Request(format!(
            "the text has {} tokens, but perplexity over windows of {context} needs at least {}: \
             take a longer text or shorter windows (--context)",
            tokens.len(),
            MIN_WINDOWS * context
        )));
    }
    Ok(n_windows)
}

/// Whether the token at this place of a window predicts the next.
pub(crate) fn predicts(context: usize, index: usize) -> bool {
    (context / 2..context - 1).contains(&index)
}

/// Log-probability of a token.
pub(crate) fn log_softmax(logits: &[f32], token: u32) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - max).exp()).sum();
    f64::from(logits[token as usize] - max) - sum.ln()
}

/// Negative log-likelihoods, summed with their squares.
#[derive(Default)]
pub(crate) struct Sum {
    n: usize,
    nll: f64,
    nll_squared: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, nll: f64) {
        self.n += 1;
        self.nll += nll;
        self.nll_squared += nll * nll;
    }

    /// exp of the mean, and to first order exp's error: that of the mean times exp.
    pub(crate) fn perplexity(&self, n_windows: usize) -> Perplexity {
        let n = self.n as f64;
        let mean = self.nll / n;
        let variance_of_mean = (self.nll_squared / n - mean * mean).max(0.0) / (n - 1.0).max(1.0);
        let perplexity = mean.exp();
        Perplexity { perplexity, error: variance_of_mean.sqrt() * perplexity, n_tokens: self.n, n_windows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionOptions;
    use crate::tiny::{Random, Tiny};

    #[test]
    fn log_softmax_is_exact_where_it_can_be() {
        for (logits, token, expected) in [
            (&[0.0f32, 0.0, 0.0, 0.0][..], 2, -(4f64.ln())),
            (&[1e30, 0.0], 0, 0.0),
            (&[1000.0, 1000.0 - 2.0], 1, -2.0 - (1.0 + (-2f64).exp()).ln()),
        ] {
            assert!((log_softmax(logits, token) - expected).abs() < 1e-12, "{logits:?}");
        }
    }

    #[test]
    fn the_error_is_that_of_the_mean() {
        let mut sum = Sum::default();
        [1.0, 2.0, 3.0, 6.0].into_iter().for_each(|nll| sum.add(nll));
        let p = sum.perplexity(1);
        // Mean 3, squared deviations 4 + 1 + 0 + 9, over 4 · 3.
        let e3 = 3f64.exp();
        assert!(
            (p.perplexity - e3).abs() < 1e-12 && (p.error - (14.0f64 / 12.0).sqrt() * e3).abs() < 1e-9,
            "{p:?}"
        );
        assert_eq!((p.n_tokens, p.n_windows), (4, 1));
    }

    /// The protocol by its words, one token at a time.
    fn by_hand(session: &mut Session<'_>, tokens: &[u32], context: usize) -> Vec<f64> {
        let mut nlls = Vec::new();
        for window in 0..tokens.len() / context {
            let window = &tokens[window * context..][..context];
            session.truncate(0);
            let mut logits = session.feed(&[1]).unwrap().to_vec();
            for position in 1..context {
                if position > context / 2 {
                    nlls.push(-log_softmax(&logits, window[position]));
                }
                logits = session.feed(&window[position..=position]).unwrap().to_vec();
            }
        }
        nlls
    }

    #[test]
    fn windows_are_predicted_as_the_protocol_says() {
        let model = Tiny::new().model();
        let options = SessionOptions { context: 20, threads: 1, ..Default::default() };
        let mut session = Session::new(&model, &options).unwrap();
        let mut random = Random(11);
        let tokens: Vec<u32> = (0..50).map(|_| (random.next() % 300) as u32).collect();
        for context in [4, 7, 16, 20] {
            let nlls = by_hand(&mut session, &tokens, context);
            let mut calls = Vec::new();
            let each = |done, all, so_far: Perplexity| {
                calls.push((done, all, so_far.n_tokens));
                ControlFlow::Continue(())
            };
            let found = perplexity(&mut session, &tokens, context, each).unwrap();
            let (n_windows, per_window) = (50 / context, context - 1 - context / 2);
            assert_eq!((found.n_windows, found.n_tokens), (n_windows, n_windows * per_window));
            assert_eq!(calls, (1..=n_windows).map(|n| (n, n_windows, n * per_window)).collect::<Vec<_>>());
            let expected = (nlls.iter().sum::<f64>() / nlls.len() as f64).exp();
            assert_eq!((found.n_tokens, found.perplexity), (nlls.len(), expected), "context {context}");
        }
        let stopped = perplexity(&mut session, &tokens, 10, |_, _, _| ControlFlow::Break(())).unwrap();
        assert_eq!((stopped.n_windows, stopped.n_tokens), (1, 4));
    }

    #[test]
    fn windows_that_cannot_be_are_refused_in_words() {
        let model = Tiny::new().model();
        let options = SessionOptions { context: 20, threads: 1, ..Default::default() };
        let mut session = Session::new(&model, &options).unwrap();
        for (n_tokens, context, words) in [
            (39, 20, "needs at least 40"),
            (0, 20, "the text has 0 tokens"),
            (100, 21, "the session's context of 20"),
            (100, 3, "at least 4"),
        ] {
            let each = |_, _, _| ControlFlow::Continue(());
            let error = perplexity(&mut session, &vec![5; n_tokens], context, each).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
