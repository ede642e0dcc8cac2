//! How far two engines' logits are from each other. Logits are f32; probabilities are computed in f64.

#![forbid(unsafe_code)]

/// A window of a text: what is fed, and which of its positions predict the next token.
#[derive(Clone, Debug)]
pub struct Window {
    /// Tokens, BOS in the first one's place.
    pub tokens: Vec<u32>,
    /// Positions that are measured: the second half, but for the last.
    pub measured: std::ops::Range<usize>,
}

/// A text in windows of `n` tokens as llama.cpp measures perplexity: BOS replaces each window's first token, positions
/// n/2 … n−2 predict, the tail is dropped.
pub fn windows(tokens: &[u32], n: usize, bos: u32) -> Vec<Window> {
    let window = |part: &[u32]| Window {
        tokens: std::iter::once(bos).chain(part[1..].iter().copied()).collect(),
        measured: n / 2..n - 1,
    };
    tokens.chunks_exact(n).map(window).collect()
}

/// Logarithms of the probabilities that logits stand for.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().fold(f64::NEG_INFINITY, |max, &logit| max.max(f64::from(logit)));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - max).exp()).sum();
    logits.iter().map(|&logit| f64::from(logit) - max - sum.ln()).collect()
}

/// Differences between two engines over a text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Divergence {
    /// Tokens compared.
    pub n: usize,
    /// Σ KL(first ‖ second), nats.
    pub kl: f64,
    /// Tokens on whose most probable successor both agree.
    pub same_top: usize,
    /// Largest difference of a logit, as a share of the range of the first's logits at that token.
    pub worst: f64,
}

impl Divergence {
    /// Compares the logits of one more token.
    pub fn add(&mut self, first: &[f32], second: &[f32]) {
        assert_eq!(first.len(), second.len());
        let (p, q) = (log_softmax(first), log_softmax(second));
        self.n += 1;
        self.kl += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
        self.same_top += usize::from(top(first) == top(second));
        let (low, high) =
            first.iter().fold((f32::MAX, f32::MIN), |(low, high), &x| (low.min(x), high.max(x)));
        let far = first.iter().zip(second).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
        self.worst = self.worst.max(far / f64::from(high - low));
    }

    /// Mean KL divergence of a token, nats.
    pub fn mean_kl(&self) -> f64 {
        self.kl / self.n as f64
    }

    /// Share of tokens with the same most probable successor.
    pub fn top_agreement(&self) -> f64 {
        self.same_top as f64 / self.n as f64
    }
}

/// The most probable token; of equals the first.
fn top(logits: &[f32]) -> usize {
    (1..logits.len()).fold(0, |best, token| if logits[token] > logits[best] { token } else { best })
}
