//! The choice of the next token.

/// How to choose. The defaults switch everything off but temperature.
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
    /// How many of the last tokens the penalties see.
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
pub struct Sampler {}

impl Sampler {
    /// For a vocabulary of `n_vocab`.
    pub fn new(_options: SamplerOptions, _n_vocab: usize) -> Self {
        todo!()
    }

    /// Tells the penalties of a token of the text (prompt or chosen).
    pub fn accept(&mut self, _token: u32) {
        todo!()
    }

    /// Chooses. Does not [`accept`](Self::accept).
    pub fn sample(&mut self, _logits: &[f32]) -> u32 {
        todo!()
    }
}
