//! `tokenizer.model` before Llama 3: SentencePiece's vocabulary.
//!
//! The file is one protobuf message. The three messages below name the fields that GGUF has a key for; protobuf skips
//! the rest. Written out by hand, they are shorter than the tools that would generate them.

use super::{Kind, Scheme, Token, Vocabulary};
use crate::Error;
use prost::Message;
use std::path::Path;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<TrainerSpec>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<NormalizerSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct Piece {
    #[prost(bytes = "vec", optional, tag = "1")]
    text: Option<Vec<u8>>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    /// 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte: GGUF has the same numbers.
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
}

const KINDS: [Kind; 6] =
    [Kind::Normal, Kind::Unknown, Kind::Control, Kind::UserDefined, Kind::Unused, Kind::Byte];

#[derive(Clone, PartialEq, Message)]
struct TrainerSpec {
    /// 1 unigram, 2 byte-pair encoding, 3 word, 4 character.
    #[prost(int32, optional, tag = "3")]
    algorithm: Option<i32>,
    #[prost(int32, optional, tag = "40")]
    unk_id: Option<i32>,
    #[prost(int32, optional, tag = "41")]
    bos_id: Option<i32>,
    #[prost(int32, optional, tag = "42")]
    eos_id: Option<i32>,
    #[prost(int32, optional, tag = "43")]
    pad_id: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct NormalizerSpec {
    #[prost(bool, optional, tag = "3")]
    add_dummy_prefix: Option<bool>,
}

/// Parses and checks the file's bytes. Meta begins every text with BOS and ends none with EOS.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Vocabulary, Error> {
    let model = ModelProto::decode(bytes).map_err(|error| {
        let problem = "this is no whole SentencePiece model; the download may have been cut short";
        Error::unfit(path, format_args!("{problem}, download it again ({error})"))
    })?;
    let trainer = model.trainer.ok_or_else(|| {
        Error::unfit(
            path,
            "the SentencePiece model ends before its settings; it was cut short: download it again",
        )
    })?;
    if trainer.algorithm != Some(2) {
        let problem = "it is no byte-pair encoding, which Llama's tokenizers are";
        return Err(Error::malformed(path, "trainer settings", problem));
    }

    let mut tokens = Vec::new();
    for (id, piece) in model.pieces.into_iter().enumerate() {
        let fault = |problem: String| Error::malformed(path, format_args!("token {id}"), problem);
        let kind = piece.kind.unwrap_or(1);
        let kind = KINDS
            .into_iter()
            .find(|&known| known as i32 == kind)
            .ok_or_else(|| fault(format!("its type is {kind}; types go from 1 to 6")))?;
        let score = piece.score.unwrap_or(0.0);
        if score.is_nan() {
            return Err(fault("its score is not a number".into()));
        }
        tokens.push(Token { text: piece.text.unwrap_or_default(), score, kind });
    }

    // SentencePiece's own defaults, and −1 for a token that the vocabulary does not have.
    let ids = [
        ("bos", trainer.bos_id.unwrap_or(1)),
        ("eos", trainer.eos_id.unwrap_or(2)),
        ("unknown", trainer.unk_id.unwrap_or(0)),
        ("padding", trainer.pad_id.unwrap_or(-1)),
    ];
    let mut special = Vec::new();
    for (word, id) in ids {
        match u32::try_from(id) {
            Ok(id) if (id as usize) < tokens.len() => special.push((word, id)),
            Ok(id) => {
                let problem = format!("token {id} of {} does not exist", tokens.len());
                return Err(Error::malformed(path, format_args!("{word}_id"), problem));
            }
            Err(_) => {}
        }
    }
    let add_space_prefix =
        model.normalizer.and_then(|normalizer| normalizer.add_dummy_prefix).unwrap_or(true);
    Ok(Vocabulary {
        scheme: Scheme::SentencePiece,
        tokens,
        special,
        add_bos: Some(true),
        add_eos: Some(false),
        add_space_prefix: Some(add_space_prefix),
    })
}
