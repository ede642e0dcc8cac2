//! `tokenizer.model`: SentencePiece's vocabulary before Llama 3, tiktoken's since. The bytes tell which.

mod sentencepiece;
mod tiktoken;

pub(crate) use tiktoken::Release;

use crate::{Error, input};
use gguf::Metadata;
use sentencepiece::SentencePiece;
use std::path::Path;
use tiktoken::Tiktoken;

/// The largest vocabularies (250 000 pieces) have 5 MB.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// A vocabulary.
#[derive(Debug)]
pub(crate) enum Tokenizer {
    SentencePiece(SentencePiece),
    Tiktoken(Tiktoken),
}

impl Tokenizer {
    /// Reads and checks the file.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let bytes = input::read_small(path, MAX_FILE_BYTES)?;
        recognize(&bytes).map_err(|problem| Error::unfit(path, problem))?;
        if tiktoken::is_tiktoken(&bytes) {
            Tiktoken::parse(path, &bytes).map(Self::Tiktoken)
        } else {
            SentencePiece::parse(path, &bytes).map(Self::SentencePiece)
        }
    }

    /// Whether it is Llama 3's kind.
    pub(crate) fn is_tiktoken(&self) -> bool {
        matches!(self, Self::Tiktoken(_))
    }

    /// Compares with the rows of the embedding. A model whose rows have no token could say what nobody can read.
    pub(crate) fn check_size(&self, path: &Path, n_rows: u64) -> Result<(), Error> {
        let n = match self {
            Self::SentencePiece(vocabulary) => vocabulary.n_tokens(),
            Self::Tiktoken(vocabulary) => vocabulary.n_tokens(),
        };
        if n == n_rows {
            return Ok(());
        }
        let reason = if n < n_rows { "it was cut short, or is" } else { "it is" };
        let problem = format!(
            "it has {n} tokens, but the model has {n_rows} rows for tokens: {reason} another model's"
        );
        Err(Error::unfit(path, problem))
    }

    /// Writes the keys. `release`: of Llama 3, which an older tokenizer does not ask for.
    pub(crate) fn describe(self, release: Release, metadata: &mut Metadata) {
        match self {
            Self::SentencePiece(vocabulary) => vocabulary.describe(metadata),
            Self::Tiktoken(vocabulary) => vocabulary.describe(release, metadata),
        }
    }
}

/// What else goes by this name.
fn recognize(bytes: &[u8]) -> Result<(), &'static str> {
    let text = bytes.trim_ascii_start();
    if text.starts_with(b"<") {
        Err("this is a web page saved under this name, not a tokenizer; download the file again")
    } else if text.starts_with(b"version https://git-lfs") {
        Err("this is git's pointer to the file, not the file; run `git lfs pull` in the folder")
    } else if text.starts_with(b"{") {
        Err("this is JSON (perhaps a Hugging Face tokenizer); llamita converts Meta's tokenizer.model")
    } else {
        Ok(())
    }
}
