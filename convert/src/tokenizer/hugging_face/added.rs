//! Tokens that were added after the training.

use super::json::TokenizerJson;
use super::settings::Settings;
use super::{ADDED_SCORE, Files, Kind, Token};
use crate::Error;
use crate::json::{self, Keys, Members};
use gguf::Shown;
use std::collections::BTreeMap;

/// A megabyte is ten thousand of them.
const MAX_FILE_BYTES: u64 = 2 << 20;

/// One of them.
#[derive(Debug)]
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) text: String,
    /// It has a meaning, and no text becomes it.
    is_control: bool,
}

/// All of them, by their ids, each once.
pub(super) fn read(
    files: &Files,
    settings: &Settings,
    json: Option<&TokenizerJson>,
) -> Result<Vec<Added>, Error> {
    let mut all = BTreeMap::new();
    let mut add = |id: u32, text: &str, special: bool| {
        let is_control = special || looks_special(text);
        all.insert(id, Added { id, text: text.into(), is_control });
    };
    if files.added_tokens.exists() {
        let members: Members = json::read(&files.added_tokens, MAX_FILE_BYTES, "JSON object of tokens")?;
        for (text, id) in &members {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
                let key = Shown(text).to_string();
                Keys::new(&files.added_tokens, &members).fault(&key, "its value is no id")
            })?;
            add(id, text, false);
        }
    }
    for (id, text, special) in settings.added_tokens()? {
        add(id, &text, special);
    }
    for token in json.map_or(&[][..], |json| &json.added_tokens.0) {
        add(token.id, &token.content, token.special);
    }
    Ok(all.into_values().collect())
}

/// Many fine-tunes add a token with a meaning, and do not mark it as one.
fn looks_special(text: &str) -> bool {
    text.starts_with("<|") && text.ends_with("|>")
}

impl Added {
    /// Puts it into its place. What the trained vocabulary says of its own tokens holds, if it is more than text.
    pub(super) fn put(&self, token: &mut Token) {
        let is_its_own = token.text == self.text.as_bytes();
        if is_its_own && matches!(token.kind, Kind::Unknown | Kind::Control | Kind::Byte) {
            return;
        }
        if !is_its_own {
            token.score = ADDED_SCORE;
        }
        // A user-defined token is found in text, which has spaces and not SentencePiece's marks for them.
        (token.kind, token.text) = match self.is_control {
            true => (Kind::Control, self.text.as_bytes().into()),
            false => (Kind::UserDefined, self.text.replace('▁', " ").into()),
        };
    }
}
