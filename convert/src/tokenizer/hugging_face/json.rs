//! `tokenizer.json`, as Hugging Face's `tokenizers` writes it: the parts that a GGUF has keys for.

use crate::{Error, json};
use gguf::Shown;
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

/// Llama 3's has 17 MB, the largest multilingual ones 35.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Llama 3 has 128 000; the largest vocabularies twice that. In memory, a piece takes ten times its text.
const MAX_PIECES: usize = 1 << 20;
/// Llama 3 has 280 147.
const MAX_MERGES: usize = 1 << 20;
/// Rules have a thousand bytes. In memory, they take up to twenty times as many.
const MAX_RULE_BYTES: usize = 1 << 16;

/// The file.
#[derive(Deserialize)]
pub(super) struct TokenizerJson {
    #[serde(default)]
    pub(super) added_tokens: AtMost<AddedToken, MAX_PIECES>,
    #[serde(default)]
    pub(super) normalizer: Rule,
    #[serde(default)]
    pub(super) pre_tokenizer: Rule,
    #[serde(default)]
    pub(super) post_processor: Rule,
    pub(super) model: Model,
}

/// What is done to a text; null where nothing is.
#[derive(Default)]
pub(super) struct Rule(pub(super) Value);

/// A list of no more items than anyone has.
pub(super) struct AtMost<T, const MAX: usize>(pub(super) Vec<T>);

/// The vocabulary and its merges.
#[derive(Deserialize)]
pub(super) struct Model {
    /// Old files do not say it.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) vocab: Vocab,
    #[serde(default)]
    pub(super) merges: AtMost<Merge, MAX_MERGES>,
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
                let kind = Shown(kind);
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

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let n = text.get().len();
        if n > MAX_RULE_BYTES {
            return Err(D::Error::custom(format_args!(
                "a rule of {n} bytes; they have {MAX_RULE_BYTES} at most"
            )));
        }
        serde_json::from_str(text.get()).map(Self).map_err(D::Error::custom)
    }
}

impl<T, const MAX: usize> Default for AtMost<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
            type Value = AtMost<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() == MAX {
                        return Err(A::Error::custom(format_args!("a list of more than {MAX}")));
                    }
                    items.push(item);
                }
                Ok(AtMost(items))
            }
        }
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Serde's own choice between two forms first keeps any value whole, in sixteen times the memory of its text.
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two pieces")
            }

            fn visit_str<E>(self, text: &str) -> Result<Merge, E> {
                Ok(Merge::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Merge, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(list)).map(Merge::Pair)
            }
        }
        deserializer.deserialize_any(Either)
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
                    if pieces.len() == MAX_PIECES {
                        return Err(A::Error::custom(format_args!("more than {MAX_PIECES} pieces")));
                    }
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
