//! What a model predicts of a text, in a file: how far another model is from it can then be measured without it.
//!
//! ```text
//! "llamKLB\n"   version u32 = 1   vocabulary u32   context u32   windows u32
//! windows × { context × token u32    predictions of the window's second half, as prediction.rs writes them }
//! ```
//! All numbers are little-endian. The tokens are there because predictions of another text, or of this one cut into other
//! tokens, would be compared to no end.

use super::prediction::{Damage, MAX_VOCAB, Prediction};
use super::{Divergence, Sums, top};
use crate::perplexity::{Sum, n_windows, predicts};
use crate::windows::begin_window;
use crate::{Error, Perplexity, Session};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"llamKLB\n";
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 24;

/// A file of a model's predictions, open to be compared with.
#[derive(Debug)]
pub struct Base {
    path: PathBuf,
    file: BufReader<File>,
    n_vocab: u32,
    context: u32,
    n_windows: u32,
}

impl Base {
    /// Runs a model over the windows of a text as [`perplexity`](crate::perplexity()) does, and writes what it predicts.
    /// Where `each` stops it, nothing is written.
    ///
    /// # Errors
    /// As of [`perplexity`](crate::perplexity()); if the file cannot be written; if the model predicts no finite numbers.
    pub fn save(
        path: &Path,
        session: &mut Session<'_>,
        tokens: &[u32],
        context: usize,
        mut each: impl FnMut(usize, usize, Perplexity) -> ControlFlow<()>,
    ) -> Result<Perplexity, Error> {
        let n_windows = n_windows(session, tokens, context)?;
        let n_vocab = session.model().config().n_vocab;
        if n_vocab > MAX_VOCAB {
            return Err(Error::Request(format!("a vocabulary of {n_vocab} tokens is too large for a base")));
        }
        let mut output = gguf::Output::create(path, HEADER_BYTES)?;
        let header = [VERSION, n_vocab as u32, context as u32, n_windows as u32].map(u32::to_le_bytes);
        output.write(&[MAGIC.as_slice(), header.as_flattened()].concat())?;
        let (mut sum, mut window, mut bytes) = (Sum::default(), Vec::with_capacity(context), Vec::new());
        for (done, text) in tokens.chunks_exact(context).enumerate() {
            begin_window(session, text, &mut window);
            let mut written = text.iter().try_for_each(|token| output.write(&token.to_le_bytes()));
            let mut finite = true;
            session.feed_each(
                &window,
                |index| predicts(context, index),
                |index, logits| {
                    let Some(prediction) = Prediction::new(logits, text[index + 1]) else {
                        finite = false;
                        return;
                    };
                    sum.add(f64::from(prediction.nll));
                    bytes.clear();
                    prediction.write(&mut bytes);
                    if written.is_ok() {
                        written = output.write(&bytes);
                    }
                },
            )?;
            written?;
            if !finite {
                let problem = "it predicts what is no finite number: look for broken weights with `llamita inspect --verify`";
                return Err(Error::model(session.model().file(), problem));
            }
            if each(done + 1, n_windows, sum.perplexity(done + 1)).is_break() {
                return Ok(sum.perplexity(done + 1));
            }
        }
        output.finish()?;
        Ok(sum.perplexity(n_windows))
    }

    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// If it cannot be read, or [`save`](Self::save) has not written it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let problem = |problem: String| Error::Base { path: path.to_owned(), problem };
        let failed =
            |source| Error::Read { path: path.to_owned(), what: "cannot be opened".to_owned(), source };
        // Asked before it is opened: opening a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(problem(
                "this is not a file: give one that `perplexity --save-kl-base` has written".into(),
            ));
        }
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let mut bytes = Vec::new();
        file.by_ref().take(HEADER_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        let Some(numbers) = bytes.strip_prefix(&MAGIC) else { return Err(problem(foreign(&bytes))) };
        let [version, n_vocab, context, n_windows] = numbers.as_chunks::<4>().0 else {
            return Err(problem(format!("it ends in its header: {CUT}")));
        };
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(problem(format!(
                "its version is {version}, but this llamita reads {VERSION}: write it again with --save-kl-base"
            )));
        }
        let [n_vocab, context, n_windows] = [n_vocab, context, n_windows].map(|n| u32::from_le_bytes(*n));
        Ok(Self { path: path.to_owned(), file, n_vocab, context, n_windows })
    }

    /// Runs `session` over the windows of the text that the file is of, and compares what it predicts with what is
    /// there, as [`divergence`](super::divergence()) does with the original itself. A divergence D is within
    /// 2⁻¹⁰ (D + √(2 D)) of that one's, and a 2⁻⁸ of how much less or more the unlikeliest tokens diverge than the others; a
    /// mean over a text, within some thousandths.
    ///
    /// # Errors
    /// As of [`perplexity`](crate::perplexity()); if the file is damaged, or of another text, vocabulary or context.
    pub fn divergence(
        mut self,
        session: &mut Session<'_>,
        tokens: &[u32],
        context: usize,
        mut each: impl FnMut(usize, usize, f64) -> ControlFlow<()>,
    ) -> Result<Divergence, Error> {
        let n_windows = n_windows(session, tokens, context)?;
        let n_vocab = session.model().config().n_vocab;
        self.check(n_vocab, context, n_windows)?;
        let (mut sums, mut prediction) = (Sums::default(), Prediction::default());
        let (mut window, mut kept_text) = (Vec::with_capacity(context), vec![0; 4 * context]);
        for (done, text) in tokens.chunks_exact(context).enumerate() {
            self.file.read_exact(&mut kept_text).map_err(|error| self.damage(done, error.into()))?;
            if !kept_text
                .as_chunks::<4>()
                .0
                .iter()
                .zip(text)
                .all(|(kept, token)| token.to_le_bytes() == *kept)
            {
                return Err(self.problem(format!(
                    "window {done} is of another text, or was cut into other tokens: take the --text that it was written with, \
                     and a model of the same vocabulary"
                )));
            }
            begin_window(session, text, &mut window);
            let mut read = Ok(());
            session.feed_each(
                &window,
                |index| predicts(context, index),
                |index, logits| {
                    if read.is_ok() {
                        read = prediction.read(&mut self.file, n_vocab);
                    }
                    if read.is_ok() {
                        let same_top = prediction.top as usize == top(logits);
                        let divergence = prediction.divergence(logits);
                        sums.add_one(prediction.nll.into(), same_top, divergence, logits, text[index + 1]);
                    }
                },
            )?;
            read.map_err(|damage| self.damage(done, damage))?;
            if each(done + 1, n_windows, sums.mean()).is_break() {
                return Ok(sums.divergence(done + 1));
            }
        }
        match self.file.read(&mut [0]) {
            Ok(0) => Ok(sums.divergence(n_windows)),
            Ok(_) => Err(self.problem("more follows its last window: the file is damaged".into())),
            Err(error) => Err(self.damage(n_windows, error.into())),
        }
    }

    /// Refuses a text in windows that the header does not speak of.
    fn check(&self, n_vocab: usize, context: usize, n_windows: usize) -> Result<(), Error> {
        let [base_vocab, base_context, base_windows] =
            [self.n_vocab, self.context, self.n_windows].map(|n| n as usize);
        if base_vocab != n_vocab {
            return Err(self.problem(format!(
                "its model has {base_vocab} tokens, this one {n_vocab}: these are not two forms of the same model"
            )));
        }
        if base_context != context {
            return Err(self.problem(format!(
                "it was written with windows of {base_context} tokens, not {context}: give --context {base_context}"
            )));
        }
        if base_windows != n_windows {
            return Err(self.problem(format!(
                "it is of a text of {base_windows} windows, this one has {n_windows}: take the --text that it was written with"
            )));
        }
        Ok(())
    }

    fn problem(&self, problem: String) -> Error {
        Error::Base { path: self.path.clone(), problem }
    }

    /// What is wrong in a window.
    fn damage(&self, window: usize, damage: Damage) -> Error {
        match damage {
            Damage::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.problem(format!("it ends in window {window} of {}: {CUT}", self.n_windows))
            }
            Damage::Io(source) => {
                Error::Read { path: self.path.clone(), what: "cannot be read".into(), source }
            }
            Damage::Value(what) => self.problem(format!(
                "a prediction of window {window} is damaged, {what}: write the file again with --save-kl-base"
            )),
        }
    }
}

const CUT: &str = "the file is cut; write it again with --save-kl-base";

/// What a file is that does not begin with [`MAGIC`].
fn foreign(bytes: &[u8]) -> String {
    const OURS: &str = "give one that `perplexity --save-kl-base` has written";
    if bytes.starts_with(b"GGUF") {
        format!("this is a GGUF, perhaps the original: give it with --reference, or {OURS}")
    } else if bytes.starts_with(b"_logits_") {
        format!("this is a file of logits by llama-perplexity, which llamita does not read: {OURS}")
    } else {
        format!("this is no file of a model's predictions: {OURS}")
    }
}

#[cfg(test)]
mod tests;
