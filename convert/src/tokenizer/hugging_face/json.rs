//! `tokenizer.json`, as Hugging Face's `tokenizers` writes it: the parts that a GGUF has keys for.

use crate::{Error, json};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::path::Path;

/// Llama 3's has 17 MB, the largest multilingual ones 35.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The file.
#[derive(Deserialize)]
pub(super) struct TokenizerJson {
    #[serde(default)]
    pub(super) added_tokens: Vec<AddedToken>,
    pub(super) normalizer: Option<Value>,
    pub(super) pre_tokenizer: Option<Value>,
    pub(super) post_processor: Option<Value>,
    pub(super) model: Model,
}

/// The vocabulary and its merges.
#[derive(Deserialize)]
pub(super) struct Model {
    /// Old files do not say it.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) vocab: Vocab,
    #[serde(default)]
    pub(super) merges: Vec<Merge>,
    pub(super) unk_token: Option<String>,
    /// What has no token is spelt in bytes, `<0x0A>`: SentencePiece's way.
    #[serde(default)]
    pub(super) byte_fallback: bool,
}

/// A token that was added after the training, or that has a meaning beside its text.
#[derive(Deserialize)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    #[serde(default)]
    pub(super) special: bool,
}

/// Two pieces that become one: `"left right"`, or since 2024 `["left", "right"]`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Merge {
    Text(String),
    Pair([String; 2]),
}

/// Pieces and their ids.
pub(super) enum Vocab {
    ByName(Vec<(String, u32)>),
    /// Unigram's, with scores.
    List,
}

impl TokenizerJson {
    /// Reads the file and checks that it is byte-pair encoding.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let file: Self = json::read(path, MAX_FILE_BYTES, "tokenizer")?;
        let kind = file.model.kind.as_deref().unwrap_or("BPE");
        match &file.model.vocab {
            Vocab::ByName(_) if kind == "BPE" => Ok(file),
            _ => {
                let kind = kind.escape_debug();
                let problem =
                    format!("its model is `{kind}`; Llama's and Mistral's are byte-pair encoding (`BPE`)");
                Err(Error::malformed(path, "key `model`", problem))
            }
        }
    }

    /// Whether its pieces are spelt in letters for bytes.
    pub(super) fn is_byte_level(&self) -> bool {
        !self.model.byte_fallback
    }

    /// The pieces with their ids, in no order.
    pub(super) fn pieces(&self) -> &[(String, u32)] {
        match &self.model.vocab {
            Vocab::ByName(pieces) => pieces,
            Vocab::List => &[],
        }
    }
}

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Vocab;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("pieces and their ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                let mut pieces = Vec::new();
                while let Some(piece) = map.next_entry()? {
                    pieces.push(piece);
                }
                Ok(Vocab::ByName(pieces))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vocab, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Vocab::List)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
