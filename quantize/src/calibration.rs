//! What quantization learns from a text: the model is run over it, layer by layer, and each layer's matrices are quantized
//! for the inputs that they had.
//!
//! The layers that are quantized already are run as they are now: a matrix is rounded for the inputs that it will have.
//! Windows are held out evenly over the text; see [`feedback`](crate::feedback) for what is done with each kind. At a time
//! there are one layer's second moments in memory, and the residual streams of all windows. These are also all that the
//! next layer depends on: with them on the disk a run can be killed and go on.

mod course;
mod states;
mod work;

pub(crate) use course::Course;
pub(crate) use states::States;

use crate::Error;
use engine::Model;
use gguf::{Metadata, Value};

/// Tokens of a window where nobody asks for another number, and the model knows no smaller one.
const CONTEXT: usize = 512;

/// Tokens that are read where nobody asks for another number.
const MAX_TOKENS: usize = 65_536;

/// Tokens that are held out at most. The more, the surer is the choice for each row; but each takes memory.
const MAX_HELD_OUT: usize = 2048;

/// Of so many windows one is held out.
const HELD_OUT_PART: usize = 4;

/// A text to learn from.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// What the text is called, for the file's keys.
    pub name: String,
    /// The text.
    pub text: String,
    /// Tokens of a window; `None`: 512, or the model's context if that is shorter.
    pub context: Option<usize>,
    /// Tokens that are read at most; `None`: 65 536.
    pub max_tokens: Option<usize>,
}

/// A file's keys that say what was learned from: that it was, the text's name, its tokens, and what the outputs of the
/// matrices lose of it, which is known in the end only.
const METHOD_KEY: &str = "llamita.quantize.method";
const TEXT_KEY: &str = "llamita.quantize.text";
const TOKENS_KEY: &str = "llamita.quantize.tokens";
const ERROR_KEY: &str = "llamita.quantize.error";

impl Calibration {
    /// Sets these keys; the numbers are not known yet.
    pub(crate) fn describe(&self, keys: &mut Metadata) {
        keys.set(METHOD_KEY, "feedback");
        keys.set(TEXT_KEY, &*self.name);
        keys.set(TOKENS_KEY, Value::U32(0));
        keys.set(ERROR_KEY, Value::F32(0.0));
    }
}

/// A text as a model reads it.
#[derive(Debug)]
pub(crate) struct Windows {
    tokens: Vec<u32>,
    context: usize,
}

impl Windows {
    /// Cuts it.
    ///
    /// # Errors
    /// If it has not two windows: one to learn from, one to judge by.
    fn new(model: &Model, calibration: &Calibration) -> Result<Self, Error> {
        let context = calibration.context.unwrap_or(CONTEXT.min(model.config().context_length));
        let tokenizer = model.tokenizer();
        let mut tokens = tokenizer.with_bos(tokenizer.encode(&calibration.text, false));
        let n_tokens = tokens.len();
        tokens.truncate(calibration.max_tokens.unwrap_or(MAX_TOKENS).max(1));
        if tokens.len() / context.max(1) < 2 || context == 0 {
            let less = if tokens.len() < n_tokens {
                format!(", of which {} are read", tokens.len())
            } else {
                String::new()
            };
            return Err(Error::Calibration(format!(
                "the calibration text has {n_tokens} tokens{less}, but two windows take {}, one to learn from and one to \
                 check: take a longer text, or shorter windows (--calibration-context)",
                2 * context
            )));
        }
        tokens.truncate(tokens.len() / context * context);
        Ok(Self { tokens, context })
    }

    fn len(&self) -> usize {
        self.tokens.len() / self.context
    }

    /// Windows that are held out: at least one, and one is not.
    fn n_held_out(&self) -> usize {
        (self.len() / HELD_OUT_PART).min(MAX_HELD_OUT / self.context).max(1)
    }

    /// Whether a window is: evenly over the text.
    fn is_held_out(&self, window: usize) -> bool {
        let (n, all) = (self.n_held_out(), self.len());
        (window + 1) * n / all > window * n / all
    }
}

#[cfg(test)]
mod tests;
