//! The choice of the next token.
//!
//! The steps, in this order (llama.cpp's default, so that settings carry over):
//!
//! 1. **Penalties.** For a token that occurs `n > 0` times in the window: a positive logit is divided by
//!    `repeat_penalty`, another multiplied by it; then `n · frequency_penalty + presence_penalty` is subtracted.
//! 2. **Top-k.** The k greatest logits stay.
//! 3. **Typical.** Tokens are ordered by how far their surprise `−ln p` is from the mean surprise (the entropy), the
//!    nearest first; the fewest whose probabilities sum to `typical_p` stay.
//! 4. **Top-p.** The most probable stay, the fewest that sum to `top_p`.
//! 5. **Min-p.** Those at least `min_p` times as probable as the best stay.
//! 6. **Temperature.** Logits are divided by it, and one token is drawn.
//!
//! Steps 3 to 5 see probabilities at temperature 1, each renormalized over what the step before left; each leaves at
//! least one token. Temperature 0 (or less, or not a number) is greedy: step 1, then the greatest logit, the lowest id
//! of equals; nothing is drawn.
//!
//! **Same seed, same text, on every machine**: equal logits are ordered by id, sums run in that order in f64, `exp`
//! is [our own](exp), and the [random numbers](random) are integers. A logit that is not a number counts as the
//! lowest there is.

mod candidates;
mod exp;
mod penalties;
mod random;

#[cfg(test)]
mod tests;

use candidates::Candidates;
use penalties::Penalties;
use random::SplitMix64;

/// How to choose. The defaults are those most programs have: mild cuts, no penalties.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerOptions {
    /// 0: greedy.
    pub temperature: f32,
    /// Keep the k most probable; 0: all.
    pub top_k: usize,
    /// Keep the most probable whose sum reaches p; 1: all.
    pub top_p: f32,
    /// Drop those below p times the best; 0: none.
    pub min_p: f32,
    /// Locally typical mass; 1: off.
    pub typical_p: f32,
    /// Divides (or multiplies) the logits of tokens seen lately; 1: off.
    pub repeat_penalty: f32,
    /// Subtracted once; 0: off.
    pub presence_penalty: f32,
    /// Subtracted per occurrence; 0: off.
    pub frequency_penalty: f32,
    /// How many of the last tokens the penalties see (at most 2²⁰).
    pub penalty_window: usize,
    /// Seed.
    pub seed: u64,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            penalty_window: 64,
            seed: 0,
        }
    }
}

/// Chooses tokens. Allocates at creation only.
#[derive(Debug)]
pub struct Sampler {
    options: SamplerOptions,
    penalties: Penalties,
    random: SplitMix64,
    /// Logits after the penalties; all finite.
    logits: Vec<f32>,
    candidates: Candidates,
}

impl Sampler {
    /// For a vocabulary of `n_vocab`.
    pub fn new(options: SamplerOptions, n_vocab: usize) -> Self {
        let greedy = is_greedy(&options);
        Self {
            penalties: Penalties::new(&options, n_vocab),
            random: SplitMix64::new(options.seed),
            logits: Vec::with_capacity(n_vocab),
            candidates: Candidates::with_capacity(if greedy { 0 } else { n_vocab }),
            options,
        }
    }

    /// Tells the penalties of a token of the text (prompt or chosen).
    pub fn accept(&mut self, token: u32) {
        self.penalties.accept(token);
    }

    /// The text is another now: the penalties know `tokens` alone. The random numbers go on.
    pub fn restart(&mut self, tokens: &[u32]) {
        self.penalties.clear();
        tokens.iter().for_each(|&token| self.accept(token));
    }

    /// Chooses. Does not [`accept`](Self::accept). `logits`: one per token of the vocabulary.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        self.penalties.apply(logits, &mut self.logits);
        for logit in &mut self.logits {
            *logit = finite(*logit);
        }
        if is_greedy(&self.options) {
            return greatest(&self.logits);
        }
        let SamplerOptions { temperature, top_k, top_p, min_p, typical_p, .. } = self.options;
        let candidates = &mut self.candidates;
        candidates.fill(&self.logits, top_k);
        if typical_p < 1.0 || top_p < 1.0 || min_p > 0.0 {
            candidates.weigh(1.0);
        }
        if typical_p < 1.0 {
            candidates.keep_typical(typical_p);
        }
        if top_p < 1.0 {
            candidates.keep_top_p(top_p);
        }
        if min_p > 0.0 {
            candidates.keep_min_p(min_p);
        }
        candidates.weigh(temperature);
        candidates.draw(self.random.unit())
    }
}

/// Also where the temperature is not a number.
fn is_greedy(options: &SamplerOptions) -> bool {
    options.temperature.is_nan() || options.temperature <= 0.0
}

/// Infinities become the greatest and the lowest number, NaN the lowest; -0 becomes 0, so that it ties with 0.
fn finite(logit: f32) -> f32 {
    if logit.is_nan() { f32::MIN } else { logit.clamp(f32::MIN, f32::MAX) + 0.0 }
}

/// Index of the greatest, the first of equals.
fn greatest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = id;
        }
    }
    best as u32
}
