//! `tokenizer.model` before Llama 3: SentencePiece's vocabulary, as GGUF keys.
//!
//! The file is one protobuf message. The three messages below name the fields that GGUF has a key for; protobuf skips
//! the rest. Written out by hand, they are shorter than the tools that would generate them.

use crate::Error;
use gguf::{Metadata, Strings};
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

/// A SentencePiece vocabulary.
#[derive(Debug)]
pub(crate) struct SentencePiece {
    tokens: Strings,
    scores: Vec<f32>,
    kinds: Vec<i32>,
    /// GGUF's key and the token.
    special: Vec<(&'static str, u32)>,
    add_space_prefix: bool,
}

impl SentencePiece {
    /// Parses and checks the file's bytes.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
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

        let (mut tokens, mut scores, mut kinds) = (Strings::default(), Vec::new(), Vec::new());
        for (id, piece) in model.pieces.into_iter().enumerate() {
            let fault = |problem: String| Error::malformed(path, format_args!("token {id}"), problem);
            let kind = piece.kind.unwrap_or(1);
            if !(1..=6).contains(&kind) {
                return Err(fault(format!("its type is {kind}; types go from 1 to 6")));
            }
            let score = piece.score.unwrap_or(0.0);
            if score.is_nan() {
                return Err(fault("its score is not a number".into()));
            }
            tokens.push(&piece.text.unwrap_or_default());
            scores.push(score);
            kinds.push(kind);
        }

        // SentencePiece's own defaults, and −1 for a token that the vocabulary does not have.
        let ids = [
            ("tokenizer.ggml.bos_token_id", trainer.bos_id.unwrap_or(1)),
            ("tokenizer.ggml.eos_token_id", trainer.eos_id.unwrap_or(2)),
            ("tokenizer.ggml.unknown_token_id", trainer.unk_id.unwrap_or(0)),
            ("tokenizer.ggml.padding_token_id", trainer.pad_id.unwrap_or(-1)),
        ];
        let mut special = Vec::new();
        for (key, id) in ids {
            match u32::try_from(id) {
                Ok(id) if (id as usize) < tokens.len() => special.push((key, id)),
                Ok(id) => {
                    let problem = format!("token {id} of {} does not exist", tokens.len());
                    return Err(Error::malformed(path, key.trim_start_matches("tokenizer.ggml."), problem));
                }
                Err(_) => {}
            }
        }
        let add_space_prefix =
            model.normalizer.and_then(|normalizer| normalizer.add_dummy_prefix).unwrap_or(true);
        Ok(Self { tokens, scores, kinds, special, add_space_prefix })
    }

    /// Tokens.
    pub(super) fn n_tokens(&self) -> u64 {
        self.tokens.len() as u64
    }

    /// Writes the keys, as llama.cpp's converters do. Meta begins every text with BOS and ends none with EOS.
    pub(super) fn describe(self, metadata: &mut Metadata) {
        metadata.set("tokenizer.ggml.model", "llama");
        metadata.set("tokenizer.ggml.pre", "default");
        metadata.set("tokenizer.ggml.tokens", self.tokens);
        metadata.set("tokenizer.ggml.scores", self.scores);
        metadata.set("tokenizer.ggml.token_type", self.kinds);
        for (key, id) in self.special {
            metadata.set(key, id);
        }
        metadata.set("tokenizer.ggml.add_bos_token", true);
        metadata.set("tokenizer.ggml.add_eos_token", false);
        metadata.set("tokenizer.ggml.add_space_prefix", self.add_space_prefix);
    }
}
