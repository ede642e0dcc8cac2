//! The tokenizer of a Hugging Face folder: `tokenizer.json` or `tokenizer.model`, and the files that add to it.
//!
//! A byte-level `tokenizer.json` is all that is needed. SentencePiece's vocabularies have scores, which `tokenizer.json`
//! does not; so `tokenizer.model` is taken where it is there, and else the scores are made of the order of the merges.
//! Tokens that were added after the training stand in up to three files; the later one in this list is believed:
//! `added_tokens.json`, `tokenizer_config.json`, `tokenizer.json`.

mod added;
mod json;
mod pieces;
mod pre_tokenizer;
mod settings;

use super::{Kind, MAX_PADDING, Scheme, Token, Vocabulary, byte_of, read_model, sentencepiece, tiktoken};
use crate::Error;
use added::Added;
use json::TokenizerJson;
use pieces::Pieces;
use quantize::Monitor;
use settings::Settings;
use std::path::{Path, PathBuf};

/// Files that may not exist; at least one of the first two does.
#[derive(Debug)]
pub(crate) struct Files {
    json: PathBuf,
    model: PathBuf,
    added_tokens: PathBuf,
    /// `tokenizer_config.json`.
    pub(crate) config: PathBuf,
    /// `config.json`, the model's, which names some ids too.
    model_config: PathBuf,
}

impl Files {
    /// The files of a folder.
    pub(crate) fn of(folder: &Path) -> Self {
        let [json, model, added_tokens, config, model_config] = [
            "tokenizer.json",
            "tokenizer.model",
            "added_tokens.json",
            "tokenizer_config.json",
            "config.json",
        ]
        .map(|name| folder.join(name));
        Self { json, model, added_tokens, config, model_config }
    }

    /// Those of the tokenizer alone.
    pub(crate) fn all(&self) -> [&PathBuf; 4] {
        [&self.json, &self.model, &self.added_tokens, &self.config]
    }
}

/// Reads and checks the tokenizer of a folder, a token for each of `n_rows` rows, and says what was left out or made up.
pub(crate) fn read(files: &Files, n_rows: u64, monitor: &dyn Monitor) -> Result<Vocabulary, Error> {
    let json = match files.json.exists() {
        true => Some(TokenizerJson::read(&files.json)?),
        false => None,
    };
    let settings = Settings::read(files)?;
    let added = added::read(files, &settings, json.as_ref())?;
    let (mut vocabulary, path) = match &json {
        Some(json) if json.is_byte_level() => (byte_level(json, &files.json, n_rows)?, &files.json),
        _ if files.model.exists() => (model(files)?, &files.model),
        Some(json) => (pieces::sentencepiece(json, &files.json, n_rows, monitor)?, &files.json),
        None => unreachable!("the folder was searched for one of the two"),
    };
    fit(&mut vocabulary, path, &added, n_rows, monitor)?;
    settings.apply(json.as_ref(), &added, &mut vocabulary);
    vocabulary.check_merges(path)?;
    vocabulary.check_expresses_all_text(path)?;
    Ok(vocabulary)
}

/// `tokenizer.model` of SentencePiece.
fn model(files: &Files) -> Result<Vocabulary, Error> {
    let bytes = read_model(&files.model)?;
    if tiktoken::is_tiktoken(&bytes) {
        let problem =
            "this is Llama 3's tokenizer in Meta's form; in this layout, tokenizer.json is needed beside it";
        return Err(Error::unfit(&files.model, problem));
    }
    sentencepiece::parse(&files.model, &bytes)
}

/// Byte-level BPE.
fn byte_level(json: &TokenizerJson, path: &Path, n_rows: u64) -> Result<Vocabulary, Error> {
    let pre = pre_tokenizer::recognize(json, path)?;
    let pieces = Pieces::new(json, path, n_rows)?;
    let merges = pieces.merges().iter().map(|[left, right]| format!("{left} {right}")).collect();
    let token = |text: Option<&str>| Token::or_hole(text.map(|text| (text, 0.0, Kind::Normal)));
    Ok(Vocabulary {
        scheme: Scheme::ByteLevel { pre, merges },
        tokens: pieces.by_id().map(token).collect(),
        special: Vec::new(),
        add_bos: None,
        add_eos: None,
        add_space_prefix: None,
    })
}

impl Token {
    /// A token; or, where there is none, an empty place, which [`fit`] fills.
    fn or_hole(token: Option<(&str, f32, Kind)>) -> Self {
        match token {
            Some((text, score, kind)) => Self { text: text.into(), score, kind },
            None => Self { text: Vec::new(), score: 0.0, kind: Kind::Unused },
        }
    }
}

/// The score of what was added to a vocabulary of pieces, and of places without a token: no text becomes them.
const ADDED_SCORE: f32 = -1000.0;

/// Adds the added tokens, and makes the vocabulary as long as the embedding.
fn fit(
    vocabulary: &mut Vocabulary,
    path: &Path,
    added: &[Added],
    n_rows: u64,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let n_tokens = vocabulary.tokens.len() as u64;
    if n_tokens > n_rows {
        let problem = format!(
            "it has {n_tokens} tokens, but the model has {n_rows} rows for tokens: it is another model's"
        );
        return Err(Error::unfit(path, problem));
    }
    check_padding(path, n_tokens + added.len() as u64, n_rows)?;
    vocabulary.tokens.resize(n_rows as usize, Token::or_hole(None));
    let mut n_without_row = 0;
    for added in added {
        match vocabulary.tokens.get_mut(added.id as usize) {
            Some(token) => added.put(token),
            None => n_without_row += 1,
        }
    }
    if n_without_row > 0 {
        monitor.note(&format!(
            "{n_without_row} added tokens are left out: the model has only {n_rows} rows for tokens"
        ));
    }
    let mut n_holes = 0;
    for (id, token) in vocabulary.tokens.iter_mut().enumerate() {
        if token.kind == Kind::Unused && token.text.is_empty() {
            (token.text, token.score) = (format!("[PAD{id}]").into(), ADDED_SCORE);
            n_holes += 1;
        }
    }
    if n_holes > 0 {
        monitor.note(&format!(
            "{n_holes} of the model's {n_rows} rows for tokens have none: they are called [PAD…] and never made from text"
        ));
    }
    Ok(())
}

/// Before memory is taken for tokens that a file does not have.
fn check_padding(path: &Path, n_tokens: u64, n_rows: u64) -> Result<(), Error> {
    if n_rows.saturating_sub(n_tokens) <= MAX_PADDING {
        return Ok(());
    }
    let problem = format!(
        "it has {n_tokens} tokens, but the model has {n_rows} rows for tokens: it was cut short, or is another model's"
    );
    Err(Error::unfit(path, problem))
}
