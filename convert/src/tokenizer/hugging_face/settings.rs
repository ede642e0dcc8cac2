//! `tokenizer_config.json`: which tokens begin and end a text, and whether they are added to every one.

use super::json::TokenizerJson;
use super::pre_tokenizer::steps;
use super::{Added, Files, Kind, Scheme, Vocabulary};
use crate::Error;
use crate::json::{self, Keys, Members};
use gguf::Shown;
use serde_json::Value;
use std::path::PathBuf;

/// Llama 3's has 50 KB.
const MAX_FILE_BYTES: u64 = 2 << 20;

/// Hugging Face's words for tokens with a meaning, and GGUF's.
const WORDS: [(&str, &str); 4] = [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")];

/// The file's keys, and those of the model's `config.json`, which names ids too.
pub(super) struct Settings {
    path: PathBuf,
    members: Members,
    model: Members,
}

impl Settings {
    /// Reads the files. The first may be absent.
    pub(super) fn read(files: &Files) -> Result<Self, Error> {
        let members = match files.config.exists() {
            true => json::read(&files.config, MAX_FILE_BYTES, "JSON object of settings")?,
            false => Members::new(),
        };
        let model = json::read(&files.model_config, MAX_FILE_BYTES, "JSON object of hyperparameters")?;
        Ok(Self { path: files.config.clone(), members, model })
    }

    /// Tokens under `added_tokens_decoder`: id, text, and whether it has a meaning.
    pub(super) fn added_tokens(&self) -> Result<Vec<(u32, String, bool)>, Error> {
        let Some(tokens) = Keys::new(&self.path, &self.members).object("added_tokens_decoder")? else {
            return Ok(Vec::new());
        };
        let token = |(id, token): (&'_ String, &'_ Value)| {
            let fault = |problem| tokens.fault(&Shown(id).to_string(), problem);
            let number: u32 = id.parse().map_err(|_| fault("it is no id"))?;
            let text = token["content"].as_str().ok_or_else(|| fault("its `content` is no string"))?;
            Ok((number, text.to_owned(), token["special"].as_bool().unwrap_or(false)))
        };
        tokens.members.iter().map(token).collect()
    }

    /// Sets what the files say of special tokens. A text is looked up among the added tokens first, then in all.
    pub(super) fn apply(&self, json: Option<&TokenizerJson>, added: &[Added], vocabulary: &mut Vocabulary) {
        let n_tokens = vocabulary.tokens.len() as u64;
        let id_of = |text: &str| {
            let added = added.iter().find(|added| added.text == text).map(|added| u64::from(added.id));
            added.or_else(|| {
                vocabulary.tokens.iter().position(|token| token.text == text.as_bytes()).map(|id| id as u64)
            })
        };
        let mut found = Vec::new();
        for (word, gguf_word) in WORDS {
            let by_text = self.text_of(word).and_then(id_of);
            // Several ids, as for the ends of an answer, are no single one.
            let by_id = || self.model.get(&format!("{word}_token_id"))?.as_u64();
            if let Some(id) = by_text.or_else(by_id).filter(|&id| id < n_tokens) {
                found.push((gguf_word, id as u32));
            }
        }
        for (word, id) in found {
            if word == "unknown" && vocabulary.scheme == Scheme::SentencePiece {
                vocabulary.tokens[id as usize].kind = Kind::Unknown;
            }
            vocabulary.special.retain(|(known, _)| *known != word);
            vocabulary.special.push((word, id));
        }
        let flag = |key: &str| self.members.get(key).and_then(Value::as_bool);
        let [bos, eos] = json.map_or([None; 2], surroundings);
        vocabulary.add_bos = bos.or(flag("add_bos_token")).or(vocabulary.add_bos);
        vocabulary.add_eos = eos.or(flag("add_eos_token")).or(vocabulary.add_eos);
    }

    /// The text of a special token: a string, or an object around it.
    fn text_of(&self, word: &str) -> Option<&str> {
        let value = self.members.get(&format!("{word}_token"))?;
        value.as_str().or_else(|| value["content"].as_str())
    }
}

/// Whether a text gets BOS and EOS, as `tokenizer.json` says it: by a template of what surrounds a text.
fn surroundings(json: &TokenizerJson) -> [Option<bool>; 2] {
    let all = steps(&json.post_processor.0, "processors");
    let is_special = |part: &Value| part["SpecialToken"].is_object();
    let template = all.iter().find(|step| step["type"] == "TemplateProcessing");
    match template.and_then(|template| template["single"].as_array()).map(Vec::as_slice) {
        Some([first, .., last]) => [Some(is_special(first)), Some(is_special(last))],
        Some(_) => [Some(false); 2],
        // This step surrounds a text with nothing.
        None if all.iter().any(|step| step["type"] == "ByteLevel") => [Some(false); 2],
        None => [None; 2],
    }
}
