//! What was said lately is said less.

use super::SamplerOptions;
use std::collections::VecDeque;

/// A larger window than any context is none; the limit keeps a mistyped one from allocating gigabytes.
const MAX_WINDOW: usize = 1 << 20;

/// The last tokens, and how often each occurs among them.
#[derive(Debug)]
pub(super) struct Penalties {
    repeat: f32,
    presence: f32,
    frequency: f32,
    /// 0: nothing is penalized, nothing is remembered.
    n_window: usize,
    window: VecDeque<u32>,
    /// By token.
    counts: Vec<u32>,
}

impl Penalties {
    pub(super) fn new(options: &SamplerOptions, n_vocab: usize) -> Self {
        let SamplerOptions { repeat_penalty, presence_penalty, frequency_penalty, penalty_window, .. } =
            *options;
        let off = repeat_penalty == 1.0 && presence_penalty == 0.0 && frequency_penalty == 0.0;
        let n_window = if off { 0 } else { penalty_window.min(MAX_WINDOW) };
        Self {
            repeat: repeat_penalty,
            presence: presence_penalty,
            frequency: frequency_penalty,
            n_window,
            window: VecDeque::with_capacity(n_window),
            counts: vec![0; if n_window == 0 { 0 } else { n_vocab }],
        }
    }

    /// A token of the text. One outside the vocabulary is no token.
    pub(super) fn accept(&mut self, token: u32) {
        if self.n_window == 0 || token as usize >= self.counts.len() {
            return;
        }
        if self.window.len() == self.n_window
            && let Some(oldest) = self.window.pop_front()
        {
            self.counts[oldest as usize] -= 1;
        }
        self.window.push_back(token);
        self.counts[token as usize] += 1;
    }

    /// Forgets every token.
    pub(super) fn clear(&mut self) {
        for token in self.window.drain(..) {
            self.counts[token as usize] = 0;
        }
    }

    /// Writes the penalized logits of the window's tokens to `out`; the others stay as they are there.
    pub(super) fn apply(&self, logits: &[f32], out: &mut [f32]) {
        // A token that occurs twice is written twice, with the same number.
        for &token in &self.window {
            let (token, n) = (token as usize, self.counts[token as usize]);
            if let Some(&logit) = logits.get(token) {
                let scaled = if logit > 0.0 { logit / self.repeat } else { logit * self.repeat };
                out[token] = scaled - (n as f32 * self.frequency + self.presence);
            }
        }
    }
}
