//! Text to tokens and back.
//!
//! A tokenizer has two halves. The outer half is the same for every model and lives here: special tokens are found
//! in the text, what lies between them is *pieces of plain text*. The inner half turns a piece of plain text into
//! tokens and depends on `tokenizer.ggml.model`: [`spm`] is SentencePiece's, named `llama` in GGUF, and [`bpe`] is
//! byte-level BPE, named `gpt2`. Both read the same [`Vocabulary`].
//!
//! Control tokens that a user types stay text unless the caller asks otherwise: only a chat template may write them.

mod bpe;
mod byte_letters;
mod piece_map;
mod pre_tokenizer;
mod special;
mod spm;
mod text_decoder;
mod vocabulary;

#[cfg(test)]
pub(crate) mod tests;

pub use text_decoder::TextDecoder;

use crate::Error;
use bpe::Bpe;
use special::Specials;
use spm::Spm;
use std::borrow::Cow;
use std::path::Path;
use vocabulary::{Spelling, Vocabulary, VocabularyError};

/// Stands in a guarded text. Unicode keeps this code point for a program's own use, never for text.
const GUARD: char = '\u{FDD0}';

/// A tokenizer from a GGUF's metadata.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    specials: Specials,
    scheme: Scheme,
    add_bos: bool,
}

/// What makes tokens of plain text.
#[derive(Debug)]
enum Scheme {
    Spm(Spm),
    Bpe(Bpe),
}

impl Tokenizer {
    /// Reads `tokenizer.ggml.*`. Works for vocabulary-only files of any architecture whose tokenizer model it knows.
    ///
    /// # Errors
    /// If the file has no vocabulary, one that contradicts itself, or a tokenizer model that is neither `llama` nor `gpt2`.
    pub fn from_gguf(file: &gguf::File) -> Result<Self, Error> {
        Self::from_metadata(file.metadata(), file.path())
    }

    /// `path` is for the errors only.
    fn from_metadata(metadata: &gguf::Metadata, path: &Path) -> Result<Self, Error> {
        Self::read(metadata).map_err(|error| match error {
            VocabularyError::Key(source) => Error::Key { path: path.to_owned(), source },
            VocabularyError::Problem(problem) => Error::Model { path: path.to_owned(), problem },
        })
    }

    fn read(metadata: &gguf::Metadata) -> Result<Self, VocabularyError> {
        let spelling = match metadata.str("tokenizer.ggml.model")? {
            Some("llama") => Spelling::SentencePiece,
            Some("gpt2") => Spelling::ByteLetters,
            None => {
                return Err(VocabularyError::Problem(
                    "the file holds no tokenizer: `tokenizer.ggml.model` is missing".into(),
                ));
            }
            Some(other) => {
                return Err(VocabularyError::Problem(format!(
                    "its tokenizer is `{}`, of which there is no implementation; there are `llama` (SentencePiece) and \
                     `gpt2` (byte-level BPE)",
                    gguf::Shown(other)
                )));
            }
        };
        let vocabulary = Vocabulary::read(metadata, spelling)?;
        let specials = Specials::new(&vocabulary);
        let scheme = match spelling {
            Spelling::SentencePiece => Scheme::Spm(Spm::new(metadata, &vocabulary)?),
            Spelling::ByteLetters => Scheme::Bpe(Bpe::new(metadata, &vocabulary)?),
        };
        let adds_bos = match &scheme {
            Scheme::Spm(_) => true,
            Scheme::Bpe(bpe) => bpe.adds_bos(),
        };
        let add_bos = metadata.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos);
        Ok(Self { vocabulary, specials, scheme, add_bos })
    }

    /// Tokens in the vocabulary.
    pub fn n_tokens(&self) -> usize {
        self.vocabulary.len()
    }

    /// Tokens of a text. `special`: control tokens written in the text become those tokens; else they stay text.
    /// User-defined tokens are found either way. Of several that begin at the same place, the longest is taken.
    /// BOS is not added: see [`with_bos`](Self::with_bos).
    pub fn encode(&self, text: &str, special: bool) -> Vec<u32> {
        self.encode_pieces(text, special, |piece| Cow::Borrowed(piece))
    }

    /// A text in which no control token will be found by [`encode_guarded`](Self::encode_guarded), which gives it
    /// back as it was: a guard breaks each where it begins.
    pub(crate) fn guard(&self, text: &str) -> String {
        let mut guarded = String::with_capacity(text.len());
        // A guard that is in the text already would be taken out again; it is no character.
        let text = without_guards(text);
        let mut rest = &*text;
        while let Some(found) = self.specials.find(&self.vocabulary, rest, true) {
            if self.is_text(found.token) {
                guarded.push_str(&rest[..found.end]);
                rest = &rest[found.end..];
            } else {
                let first = rest[found.start..].chars().next().map_or(0, char::len_utf8);
                guarded.push_str(&rest[..found.start + first]);
                guarded.push(GUARD);
                rest = &rest[found.start + first..];
            }
        }
        guarded + rest
    }

    /// Tokens of a text parts of which are [guarded](Self::guard); control tokens are found in the others.
    pub(crate) fn encode_guarded(&self, text: &str) -> Vec<u32> {
        self.encode_pieces(text, true, without_guards)
    }

    /// `plain` makes plain text of what is between the special tokens.
    fn encode_pieces(&self, text: &str, special: bool, plain: impl Fn(&str) -> Cow<'_, str>) -> Vec<u32> {
        let mut tokens = Vec::new();
        // A piece at the start of the text, or after a special token, begins a word of its own.
        let mut begins_word = true;
        let mut rest = text;
        while !rest.is_empty() {
            let found = self.specials.find(&self.vocabulary, rest, special);
            let piece = plain(&rest[..found.map_or(rest.len(), |found| found.start)]);
            if !piece.is_empty() {
                match &self.scheme {
                    Scheme::Spm(spm) => spm.encode(&self.vocabulary, &piece, begins_word, &mut tokens),
                    Scheme::Bpe(bpe) => bpe.encode(&self.vocabulary, &piece, &mut tokens),
                }
            }
            let Some(found) = found else { break };
            tokens.push(found.token);
            begins_word = true;
            rest = &rest[found.end..];
        }
        tokens
    }

    /// Tokens of a prompt as the model wants it: BOS first where `add_bos_token` (default: as the scheme's models were trained) says so and it is
    /// not there already. `add_eos_token` is not heeded: a prompt is to be continued, not ended.
    pub fn with_bos(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        if let Some(bos) = self.bos()
            && self.add_bos
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
        }
        tokens
    }

    /// A token's bytes; control, unknown and unused tokens have none unless `special`, ids outside the vocabulary
    /// never. The first token's leading space is kept: [`decode`](Self::decode) drops it.
    pub fn bytes(&self, token: u32, special: bool) -> &[u8] {
        match self.vocabulary.kind(token) {
            Some(kind) if special || !kind.is_hidden() => self.vocabulary.piece(token),
            _ => &[],
        }
    }

    /// Text of tokens, invalid UTF-8 replaced. The space that [`encode`](Self::encode) sets before the first word is
    /// dropped again. (Spaces set after special tokens *inside* a text stay: nothing tells them from real ones.)
    pub fn decode(&self, tokens: &[u32], special: bool) -> String {
        let mut decoder = TextDecoder::whole_text(special);
        let mut text = String::new();
        for &token in tokens {
            text.push_str(decoder.push(self, token));
        }
        text.push_str(decoder.finish());
        text
    }

    /// Beginning of sequence.
    pub fn bos(&self) -> Option<u32> {
        self.vocabulary.bos()
    }

    /// End of sequence.
    pub fn eos(&self) -> Option<u32> {
        self.vocabulary.eos()
    }

    /// Whether generation ends with this token: eos, eot, eom.
    pub fn is_end(&self, token: u32) -> bool {
        self.vocabulary.is_end(token)
    }

    /// Whether the text begins with a space that is not the writer's.
    fn adds_space(&self) -> bool {
        matches!(&self.scheme, Scheme::Spm(spm) if spm.adds_space())
    }

    fn longest_piece(&self) -> usize {
        self.vocabulary.longest_piece()
    }

    fn is_text(&self, token: u32) -> bool {
        self.vocabulary.kind(token).is_some_and(|kind| !kind.is_hidden())
    }
}

fn without_guards(text: &str) -> Cow<'_, str> {
    if text.contains(GUARD) { text.replace(GUARD, "").into() } else { text.into() }
}
