//! The tokens of a file: their bytes, kinds and scores, and which of them begin and end a text.
//!
//! A piece is kept as it *reads*, whichever way the file [spells](Spelling) it: `▁` (U+2581, SentencePiece's mark for a
//! space) as a space, `<0x0A>` as the byte 0x0A, GPT-2's `Ġ` as a space. Then one arena serves both ways, and decoding
//! is a look-up.

use super::byte_letters;
use super::piece_map::PieceMap;
use gguf::{KeyError, Metadata, Strings};

/// SentencePiece's mark for a space.
pub(super) const SPACE_MARK: &str = "\u{2581}";

/// A token may be as long as its file; a sentence shows no more of one.
pub(super) const SHOWN_BYTES: usize = 80;

/// Texts of tokens that end a turn in the model families that are built on `llama`. Many fine-tunes name only one of
/// theirs in the metadata, or none, and then never stop.
const END_TEXTS: [&str; 8] = [
    "</s>",            // Llama 1 and 2, Mistral
    "<|end_of_text|>", // Llama 3
    "<|eot_id|>",      // Llama 3, a turn
    "<|eom_id|>",      // Llama 3.1, a message before a tool's answer
    "<|im_end|>",      // ChatML
    "<|endoftext|>",   // GPT-2's, in many
    "<|end|>",         // Phi 3
    "<end_of_turn>",   // Gemma
];

/// Why there is no vocabulary.
#[derive(Debug)]
pub(super) enum VocabularyError {
    /// A key is absent or of the wrong type.
    Key(KeyError),
    /// The values contradict each other; a sentence.
    Problem(String),
}

impl From<KeyError> for VocabularyError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

/// How a file writes the text of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As SentencePiece does. Merges are ordered by scores, and ids 0 to 2 have a meaning of old.
    SentencePiece,
    /// [A letter for each byte](byte_letters). There are no scores.
    ByteLetters,
}

/// `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Made from text.
    Normal,
    /// Stands for text that nothing else stands for.
    Unknown,
    /// Has a meaning and no text.
    Control,
    /// Found in text before anything else.
    UserDefined,
    /// A place that is kept free (or of no known kind): never made from text.
    Unused,
    /// A byte of a character that is not in the vocabulary.
    Byte,
}

impl Kind {
    fn from_gguf(number: i32) -> Option<Self> {
        Some(match number {
            0 | 5 => Self::Unused,
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            6 => Self::Byte,
            _ => return None,
        })
    }

    /// Whether plain text may become such a token.
    pub(super) fn is_from_text(self) -> bool {
        matches!(self, Self::Normal | Self::UserDefined)
    }

    /// Whether its text is not part of what the model says.
    pub(super) fn is_hidden(self) -> bool {
        matches!(self, Self::Control | Self::Unknown | Self::Unused)
    }
}

/// The tokens of a file.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pieces: Strings,
    kinds: Vec<Kind>,
    /// Empty for a spelling without scores.
    scores: Vec<f32>,
    /// Pieces that text may become: normal and user-defined ones. A control token is not among them, so that no
    /// sequence of merges spells one.
    by_piece: PieceMap,
    longest_piece: usize,
    bos: Option<u32>,
    eos: Option<u32>,
    unknown: Option<u32>,
    ends: Vec<u32>,
}

impl Vocabulary {
    /// Reads and checks the vocabulary.
    pub(super) fn read(metadata: &Metadata, spelling: Spelling) -> Result<Self, VocabularyError> {
        let tokens = required(metadata.strings("tokenizer.ggml.tokens")?, "tokenizer.ggml.tokens")?;
        let numbers = required(metadata.ints("tokenizer.ggml.token_type")?, "tokenizer.ggml.token_type")?;
        let n_tokens = tokens.len();
        let scores = match spelling {
            Spelling::SentencePiece => {
                required(metadata.floats("tokenizer.ggml.scores")?, "tokenizer.ggml.scores")?
            }
            Spelling::ByteLetters => Default::default(),
        };
        if n_tokens == 0 {
            return Err(VocabularyError::Problem("its vocabulary (`tokenizer.ggml.tokens`) is empty".into()));
        }
        if u32::try_from(n_tokens).is_err() {
            return Err(VocabularyError::Problem(format!("a vocabulary of {n_tokens} tokens is too large")));
        }
        for (key, n) in [("token_type", numbers.len()), ("scores", scores.len())] {
            if n != n_tokens && (key != "scores" || spelling == Spelling::SentencePiece) {
                return Err(VocabularyError::Problem(format!(
                    "`tokenizer.ggml.{key}` has {n} entries for the {n_tokens} tokens of `tokenizer.ggml.tokens`; \
                     the file is damaged or was converted wrongly: convert it anew"
                )));
            }
        }

        let mut pieces = Strings::default();
        let mut kinds = Vec::with_capacity(n_tokens);
        let mut ends = Vec::new();
        let mut text = Vec::new();
        for (index, (token, &number)) in tokens.iter().zip(&numbers).enumerate() {
            let Some(mut kind) = Kind::from_gguf(number) else {
                return Err(VocabularyError::Problem(format!(
                    "`tokenizer.ggml.token_type` says {number} for token {index}; known are 0 to 6"
                )));
            };
            // What ends a turn must not be what a user may type, whatever the converter made of it.
            if matches!(kind, Kind::Control | Kind::UserDefined)
                && END_TEXTS.iter().any(|end| end.as_bytes() == token)
            {
                kind = Kind::Control;
                ends.push(index as u32);
            }
            text.clear();
            match kind {
                Kind::Normal | Kind::UserDefined if spelling == Spelling::SentencePiece => {
                    replace_marks(token, &mut text);
                }
                Kind::Normal => byte_letters::read(token, &mut text),
                Kind::Byte => text.push(byte_of(token).ok_or_else(|| {
                    VocabularyError::Problem(format!(
                        "token {index} is of the type byte, but is called `{}` and not like `<0x0A>`",
                        token[..token.len().min(SHOWN_BYTES)].escape_ascii()
                    ))
                })?),
                _ => text.extend_from_slice(token),
            }
            pieces.push(&text);
            kinds.push(kind);
        }

        let from_text: Vec<u32> =
            (0..n_tokens as u32).filter(|&id| kinds[id as usize].is_from_text()).collect();
        let mut vocabulary = Self {
            by_piece: PieceMap::new(&from_text, |id| pieces.get(id as usize).unwrap_or_default()),
            longest_piece: pieces.iter().map(<[u8]>::len).max().unwrap_or(0),
            pieces,
            kinds,
            // Merges need an order: a score that is no number comes last, and -0 is 0.
            scores: scores.iter().map(|&s| if s.is_nan() { f32::NEG_INFINITY } else { s + 0.0 }).collect(),
            bos: None,
            eos: None,
            unknown: None,
            ends,
        };
        // Where the file does not say, SentencePiece's own places hold, if such a token is there.
        let of_old = |id, kind| (spelling == Spelling::SentencePiece).then_some((id, kind));
        vocabulary.bos = vocabulary.id(metadata, "bos_token_id", of_old(1, Kind::Control))?;
        vocabulary.eos = vocabulary.id(metadata, "eos_token_id", of_old(2, Kind::Control))?;
        vocabulary.unknown = vocabulary.id(metadata, "unknown_token_id", of_old(0, Kind::Unknown))?;
        let eot = vocabulary.id(metadata, "eot_token_id", None)?;
        let eom = vocabulary.id(metadata, "eom_token_id", None)?;
        vocabulary.ends.extend([vocabulary.eos, eot, eom].into_iter().flatten());
        vocabulary.ends.sort_unstable();
        vocabulary.ends.dedup();
        Ok(vocabulary)
    }

    /// The id under a key. `u32::MAX` is how some converters write "none".
    fn id(
        &self,
        metadata: &Metadata,
        name: &str,
        default: Option<(u32, Kind)>,
    ) -> Result<Option<u32>, VocabularyError> {
        let key = format!("tokenizer.ggml.{name}");
        match metadata.uint(&key)? {
            None => Ok(default.filter(|&(id, kind)| self.kind(id) == Some(kind)).map(|(id, _)| id)),
            Some(id) if id == u64::from(u32::MAX) => Ok(None),
            Some(id) if id < self.len() as u64 => Ok(Some(id as u32)),
            Some(id) => Err(VocabularyError::Problem(format!(
                "`{key}` is {id}, but the vocabulary has {} tokens",
                self.len()
            ))),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn kind(&self, id: u32) -> Option<Kind> {
        self.kinds.get(id as usize).copied()
    }

    /// A token's bytes; none outside the vocabulary.
    pub(super) fn piece(&self, id: u32) -> &[u8] {
        self.pieces.get(id as usize).unwrap_or_default()
    }

    /// The higher, the earlier a merge.
    pub(super) fn score(&self, id: u32) -> f32 {
        self.scores[id as usize]
    }

    /// The token that text may become.
    pub(super) fn find(&self, piece: &[u8]) -> Option<u32> {
        if piece.len() > self.longest_piece {
            return None;
        }
        self.by_piece.get(piece, |id| self.piece(id))
    }

    /// Bytes.
    pub(super) fn longest_piece(&self) -> usize {
        self.longest_piece
    }

    pub(super) fn bos(&self) -> Option<u32> {
        self.bos
    }

    pub(super) fn eos(&self) -> Option<u32> {
        self.eos
    }

    pub(super) fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    pub(super) fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// All ids with their kinds.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (u32, Kind)> + '_ {
        self.kinds.iter().enumerate().map(|(index, &kind)| (index as u32, kind))
    }
}

/// The value, or the error that its key is missing.
pub(super) fn required<T>(value: Option<T>, key: &str) -> Result<T, KeyError> {
    value.ok_or_else(|| KeyError::Missing(key.into()))
}

/// `▁` becomes a space. Pieces need not be UTF-8.
fn replace_marks(piece: &[u8], out: &mut Vec<u8>) {
    let mark = SPACE_MARK.as_bytes();
    let mut rest = piece;
    while let Some((&first, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(mark) {
            out.push(b' ');
            rest = after;
        } else {
            out.push(first);
            rest = tail;
        }
    }
}

/// `<0x0A>` is the byte 0x0A.
fn byte_of(piece: &[u8]) -> Option<u8> {
    let hex = piece.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let hex = std::str::from_utf8(hex).ok().filter(|hex| hex.len() == 2 && !hex.starts_with('+'))?;
    u8::from_str_radix(hex, 16).ok()
}
