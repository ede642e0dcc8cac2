//! Vocabularies, from the files of either layout to one form, and from it to GGUF's keys.
//!
//! | | SentencePiece: Llama 1 and 2, Mistral | byte-level BPE: Llama 3 |
//! |---|---|---|
//! | Meta | [`sentencepiece`] | [`tiktoken`] |
//! | Hugging Face | the same, or [`hugging_face`]'s `tokenizer.json` | `tokenizer.json` |

mod hugging_face;
mod sentencepiece;
mod tiktoken;

pub(crate) use hugging_face::{Files, read as read_hugging_face};
pub(crate) use tiktoken::Release;

use crate::{Error, foreign, input};
use gguf::{Metadata, Shown, Strings};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// The largest vocabularies (250 000 pieces) have 5 MB.
const MAX_MODEL_BYTES: u64 = 8 << 20;

/// Every row of an embedding has a token, where one is known; else a place is kept for it. Models round their rows up to
/// some thousands at most. Many more rows than tokens are another model's.
const MAX_PADDING: u64 = 1 << 16;

/// A vocabulary, in the order of its tokens' ids.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vocabulary {
    scheme: Scheme,
    tokens: Vec<Token>,
    /// GGUF's word (`bos`, `unknown`) and the token.
    special: Vec<(&'static str, u32)>,
    /// `None`: the file does not tell.
    add_bos: Option<bool>,
    add_eos: Option<bool>,
    add_space_prefix: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
enum Scheme {
    /// The higher a token's score, the earlier it is made.
    SentencePiece,
    ByteLevel {
        /// GGUF's name of the rule by which text is cut before anything is merged.
        pre: &'static str,
        /// `left right`, the first ones first.
        merges: Vec<String>,
    },
}

#[derive(Clone, Debug, PartialEq)]
struct Token {
    /// In SentencePiece's spelling, or in GPT-2's letters for bytes.
    text: Vec<u8>,
    /// Of SentencePiece alone.
    score: f32,
    kind: Kind,
}

/// Kinds of tokens, by GGUF's numbers, which SentencePiece has too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// Reads and checks Meta's `tokenizer.model`: SentencePiece's before Llama 3, tiktoken's since. The bytes tell which.
/// A model whose rows have no token could say what nobody can read: there are as many tokens as rows.
pub(crate) fn read_meta(path: &Path, n_rows: u64, release: Release) -> Result<Vocabulary, Error> {
    let bytes = read_model(path)?;
    let vocabulary = match tiktoken::is_tiktoken(&bytes) {
        true => tiktoken::parse(path, &bytes, release)?,
        false => sentencepiece::parse(path, &bytes)?,
    };
    let n = vocabulary.tokens.len() as u64;
    if n == n_rows {
        vocabulary.check_expresses_all_text(path)?;
        return Ok(vocabulary);
    }
    let reason = if n < n_rows { "it was cut short, or is" } else { "it is" };
    let problem =
        format!("it has {n} tokens, but the model has {n_rows} rows for tokens: {reason} another model's");
    Err(Error::unfit(path, problem))
}

/// The bytes of a `tokenizer.model`, if that is what they are.
fn read_model(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = input::read_small(path, MAX_MODEL_BYTES)?;
    if let Some(problem) = foreign::failed_download(&bytes) {
        return Err(Error::unfit(path, problem));
    }
    if bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Error::unfit(
            path,
            "this is JSON (perhaps a Hugging Face tokenizer.json), under the name of another file",
        ));
    }
    Ok(bytes)
}

impl Vocabulary {
    /// Checks that any text has tokens: there is one for each byte, or an unknown one. Whoever runs the model needs that
    /// much, and should not learn it after the conversion.
    fn check_expresses_all_text(&self, path: &Path) -> Result<(), Error> {
        let letters: HashMap<String, u8> =
            (0..=u8::MAX).map(|byte| (tiktoken::visible(&[byte]), byte)).collect();
        let mut has_unknown = self.special.iter().any(|(word, _)| *word == "unknown");
        let mut has = [false; 256];
        for (id, Token { text, kind, .. }) in self.tokens.iter().enumerate() {
            match (&self.scheme, kind) {
                (Scheme::SentencePiece, Kind::Byte) => match byte_of(text) {
                    Some(byte) => has[usize::from(byte)] = true,
                    None => {
                        let text = String::from_utf8_lossy(text);
                        let problem = format!(
                            "it is of the type byte, but is called `{}` and not like `<0x0A>`",
                            Shown(&text)
                        );
                        return Err(Error::malformed(path, format_args!("token {id}"), problem));
                    }
                },
                (Scheme::SentencePiece, Kind::Unknown) if id == 0 => has_unknown = true,
                (Scheme::ByteLevel { .. }, Kind::Normal) => {
                    let byte = str::from_utf8(text).ok().and_then(|text| letters.get(text));
                    byte.iter().for_each(|byte| has[usize::from(**byte)] = true);
                }
                _ => {}
            }
        }
        // UTF-8 has no such bytes; SentencePiece's vocabularies have tokens for them all the same.
        let may_lack =
            |byte| matches!(self.scheme, Scheme::ByteLevel { .. }) && matches!(byte, 0xc0 | 0xc1 | 0xf5..);
        let missing = (0..=u8::MAX).find(|&byte| !has[usize::from(byte)] && !may_lack(byte));
        match missing.filter(|_| !has_unknown) {
            Some(byte) => Err(Error::unfit(
                path,
                format_args!(
                    "its vocabulary has neither an unknown token nor one for the byte 0x{byte:02x}: some texts could not \
                     be expressed; the file is damaged: download it again"
                ),
            )),
            None => Ok(()),
        }
    }

    /// Checks that merges are of pieces that text becomes, and not of those that were added under the same text with a
    /// meaning.
    fn check_merges(&self, path: &Path) -> Result<(), Error> {
        let Scheme::ByteLevel { merges, .. } = &self.scheme else { return Ok(()) };
        let from_text = |token: &&Token| matches!(token.kind, Kind::Normal | Kind::UserDefined);
        let texts: HashSet<&[u8]> = self.tokens.iter().filter(from_text).map(|token| &*token.text).collect();
        for (rank, merge) in merges.iter().enumerate() {
            let (left, right) = merge.split_once(' ').unwrap_or((merge, ""));
            let is_none = |part: &&str| !texts.contains(part.as_bytes());
            if let Some(part) = [left, right, &format!("{left}{right}")].into_iter().find(is_none) {
                let problem = format!("`{}` is no piece that text becomes, but a control token", Shown(part));
                return Err(Error::malformed(path, format_args!("merge {rank}"), problem));
            }
        }
        Ok(())
    }

    /// Whether it has Llama 3's scheme.
    pub(crate) fn is_byte_level(&self) -> bool {
        matches!(self.scheme, Scheme::ByteLevel { .. })
    }

    /// Whether it has a token of this text.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.tokens.iter().any(|token| token.text == text.as_bytes())
    }

    /// Writes the keys, as llama.cpp's converters do.
    pub(crate) fn describe(&self, metadata: &mut Metadata) {
        let (model, pre) = match &self.scheme {
            Scheme::SentencePiece => ("llama", "default"),
            Scheme::ByteLevel { pre, .. } => ("gpt2", *pre),
        };
        metadata.set("tokenizer.ggml.model", model);
        metadata.set("tokenizer.ggml.pre", pre);
        metadata.set("tokenizer.ggml.tokens", strings(self.tokens.iter().map(|token| &*token.text)));
        if self.scheme == Scheme::SentencePiece {
            let scores: Vec<f32> = self.tokens.iter().map(|token| token.score).collect();
            metadata.set("tokenizer.ggml.scores", scores);
        }
        let kinds: Vec<i32> = self.tokens.iter().map(|token| token.kind as i32).collect();
        metadata.set("tokenizer.ggml.token_type", kinds);
        if let Scheme::ByteLevel { merges, .. } = &self.scheme {
            metadata.set("tokenizer.ggml.merges", strings(merges.iter().map(String::as_bytes)));
        }
        for (word, id) in &self.special {
            metadata.set(format!("tokenizer.ggml.{word}_token_id"), *id);
        }
        let flags = [
            ("add_bos_token", self.add_bos),
            ("add_eos_token", self.add_eos),
            ("add_space_prefix", self.add_space_prefix),
        ];
        for (word, flag) in flags {
            if let Some(flag) = flag {
                metadata.set(format!("tokenizer.ggml.{word}"), flag);
            }
        }
    }
}

/// `<0x0A>` is the byte 0x0a.
fn byte_of(text: &[u8]) -> Option<u8> {
    let hex = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let is_hex = hex.len() == 2 && hex.iter().all(u8::is_ascii_hexdigit);
    str::from_utf8(hex).ok().filter(|_| is_hex).and_then(|hex| u8::from_str_radix(hex, 16).ok())
}

fn strings<'a>(all: impl Iterator<Item = &'a [u8]>) -> Strings {
    let mut strings = Strings::default();
    all.for_each(|string| strings.push(string));
    strings
}
