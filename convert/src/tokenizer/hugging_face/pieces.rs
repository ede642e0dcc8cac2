//! The pieces of a `tokenizer.json` by their ids, and its merges, checked against each other.

use super::json::{Merge, TokenizerJson};
use super::{Kind, Scheme, Token, Vocabulary, byte_of, check_padding, pre_tokenizer};
use crate::Error;
use gguf::Shown;
use quantize::Monitor;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Checked pieces.
pub(super) struct Pieces<'j> {
    /// `None`: no piece has this id.
    by_id: Vec<Option<&'j str>>,
    ids: HashMap<&'j str, u32>,
    merges: Vec<[&'j str; 2]>,
}

impl<'j> Pieces<'j> {
    /// Checks that every id is one piece's and has a row, and that every merge makes a piece of two pieces.
    pub(super) fn new(json: &'j TokenizerJson, path: &Path, n_rows: u64) -> Result<Self, Error> {
        let pieces = json.pieces();
        check_padding(path, pieces.len() as u64 + json.added_tokens.0.len() as u64, n_rows)?;
        let n_ids = pieces.iter().map(|(_, id)| u64::from(*id) + 1).max().unwrap_or(0);
        let fault = |piece: &str, problem: String| {
            Error::malformed(path, format_args!("piece `{}`", Shown(piece)), problem)
        };
        let mut by_id = vec![None; n_ids.min(n_rows) as usize];
        let mut ids = HashMap::with_capacity(pieces.len());
        for (piece, id) in pieces {
            let Some(place) = by_id.get_mut(*id as usize) else {
                let problem = format!(
                    "its id is {id}, but the model has {n_rows} rows for tokens: this is another model's"
                );
                return Err(fault(piece, problem));
            };
            if let Some(other) = place.replace(piece.as_str()) {
                return Err(fault(piece, format!("its id is {id}, and so is that of `{}`", Shown(other))));
            }
            if ids.insert(piece.as_str(), *id).is_some() {
                return Err(fault(piece, "it stands twice".into()));
            }
        }
        let mut merges = Vec::with_capacity(json.model.merges.0.len());
        let mut joined = String::new();
        for (n, merge) in json.model.merges.0.iter().enumerate() {
            let fault = |problem: String| Error::malformed(path, format_args!("merge {n}"), problem);
            let [left, right] = match merge {
                Merge::Pair([left, right]) => [left.as_str(), right],
                Merge::Text(text) => {
                    let halves = text.split_once(' ').map(|(left, right)| [left, right]);
                    halves.ok_or_else(|| {
                        fault(format!("`{}` is no two pieces with a space between", Shown(text)))
                    })?
                }
            };
            joined.clear();
            joined.extend([left, right]);
            if let Some(part) = [left, right, &joined].into_iter().find(|part| !ids.contains_key(part)) {
                return Err(fault(format!("`{}` is no piece of the vocabulary", Shown(part))));
            }
            // GGUF keeps the two with a space between.
            if joined.contains(' ') {
                return Err(fault(format!("`{}` has a space in it, which GGUF cannot say", Shown(&joined))));
            }
            merges.push([left, right]);
        }
        Ok(Self { by_id, ids, merges })
    }

    /// In the order of ids.
    pub(super) fn by_id(&self) -> impl Iterator<Item = Option<&'j str>> {
        self.by_id.iter().copied()
    }

    /// In their order.
    pub(super) fn merges(&self) -> &[[&'j str; 2]] {
        &self.merges
    }
}

/// A vocabulary of SentencePiece's kind. Its scores are the order in which pieces are first made, the highest first, and
/// then, for pieces that nothing makes, that of the ids: SentencePiece wrote the merges from such an order.
pub(super) fn sentencepiece(
    json: &TokenizerJson,
    path: &Path,
    n_rows: u64,
    monitor: &dyn Monitor,
) -> Result<Vocabulary, Error> {
    let add_space_prefix = pre_tokenizer::adds_space(json, path)?;
    let pieces = Pieces::new(json, path, n_rows)?;
    let kind = |piece: &str| match piece {
        _ if json.model.unk_token.as_deref() == Some(piece) => Kind::Unknown,
        _ if byte_of(piece.as_bytes()).is_some() => Kind::Byte,
        _ => Kind::Normal,
    };
    let added: HashSet<u32> = json.added_tokens.0.iter().map(|added| added.id).collect();
    let mut order: Vec<Option<u32>> = vec![None; pieces.by_id.len()];
    let (mut n, mut last, mut is_in_order) = (0, None, true);
    for [left, right] in pieces.merges() {
        let made = pieces.ids[[*left, *right].concat().as_str()];
        let place = &mut order[made as usize];
        is_in_order &= place.is_none() || last == Some(made);
        last = Some(made);
        if place.is_none() {
            *place = Some(n);
            n += 1;
        }
    }
    if !is_in_order {
        monitor.note(
            "the merges of tokenizer.json are not in SentencePiece's order: some texts may become other tokens here than \
             there; with the model's tokenizer.model in the folder they would not",
        );
    }
    let tokens = pieces.by_id().enumerate().map(|(id, piece)| {
        Token::or_hole(piece.map(|piece| match kind(piece) {
            Kind::Normal if !added.contains(&(id as u32)) => {
                let place = order[id].unwrap_or_else(|| {
                    n += 1;
                    n - 1
                });
                (piece, -(place as f32), Kind::Normal)
            }
            kind => (piece, 0.0, kind),
        }))
    });
    Ok(Vocabulary {
        scheme: Scheme::SentencePiece,
        tokens: tokens.collect(),
        special: Vec::new(),
        add_bos: None,
        add_eos: None,
        add_space_prefix: Some(add_space_prefix),
    })
}
