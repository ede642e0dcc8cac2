//! Byte-level BPE from plain text, the `gpt2` model of GGUF: GPT-2, Llama 3, Qwen and most since.
//!
//! A text is cut by the [`PreTokenizer`]. Each piece starts as its bytes; of all neighbours that the file's list of
//! merges joins, the pair that stands first in the list is merged (the leftmost of equals), until none is left.
//!
//! The pairs wait in a heap and the symbols are a linked list: n log n also for a piece of megabytes. The list of
//! merges is kept by the ids of the two halves, so that no text is compared while merging; a pair whose sides have
//! changed since it was queued is recognized by their ids and skipped.

use super::byte_letters;
use super::pre_tokenizer::PreTokenizer;
use super::vocabulary::{SHOWN_BYTES, Vocabulary, VocabularyError, required};
use gguf::Metadata;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// What two neighbours become, and when.
#[derive(Clone, Copy, Debug)]
struct Merge {
    /// Place in the list: the lower, the earlier.
    rank: u32,
    token: u32,
}

/// How this file's BPE treats plain text.
#[derive(Debug)]
pub(super) struct Bpe {
    pre_tokenizer: PreTokenizer,
    merges: HashMap<(u32, u32), Merge>,
    /// The unknown token for a byte that has none. Bytes that UTF-8 does not use may have neither.
    byte_tokens: Box<[u32; 256]>,
}

impl Bpe {
    pub(super) fn new(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self, VocabularyError> {
        let pre_tokenizer = match metadata.str("tokenizer.ggml.pre")? {
            None => PreTokenizer::Default,
            Some(name) => PreTokenizer::named(name).ok_or_else(|| {
                VocabularyError::Problem(format!(
                    "`tokenizer.ggml.pre` is `{}`, a way to cut words of which there is no implementation; there are \
                     `llama-bpe`, `gpt-2`, `qwen2` and `default`",
                    gguf::Shown(name)
                ))
            })?,
        };
        let byte_tokens = byte_tokens(vocabulary)?;
        let merges = read_merges(metadata, vocabulary)?;
        Ok(Self { pre_tokenizer, merges, byte_tokens })
    }

    /// Whether prompts begin with BOS where the file does not say: Llama 3 was trained so, GPT-2 and Qwen were not.
    pub(super) fn adds_bos(&self) -> bool {
        self.takes_whole_pieces()
    }

    /// Whether a piece that is a token is taken as it is, even if no merges lead to it. Llama 3's tokenizer is
    /// tiktoken, which looks for the whole piece first.
    fn takes_whole_pieces(&self) -> bool {
        self.pre_tokenizer == PreTokenizer::LLAMA_3
    }

    /// Appends the tokens of `text`.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, tokens: &mut Vec<u32>) {
        let mut merger = Merger::default();
        self.pre_tokenizer.split(text, |piece| {
            match vocabulary.find(piece.as_bytes()).filter(|_| self.takes_whole_pieces()) {
                Some(token) => tokens.push(token),
                None => merger.merge(self, piece.as_bytes(), tokens),
            }
        });
    }
}

fn byte_tokens(vocabulary: &Vocabulary) -> Result<Box<[u32; 256]>, VocabularyError> {
    let mut tokens = Box::new([vocabulary.unknown().unwrap_or_default(); 256]);
    for byte in 0..=u8::MAX {
        match vocabulary.find(&[byte]) {
            Some(token) => tokens[usize::from(byte)] = token,
            None if vocabulary.unknown().is_none() && !matches!(byte, 0xC0 | 0xC1 | 0xF5..) => {
                return Err(VocabularyError::Problem(format!(
                    "its vocabulary has neither an unknown token nor one for the byte 0x{byte:02X}, so that some texts \
                     could not be expressed; convert the file anew"
                )));
            }
            None => {}
        }
    }
    Ok(tokens)
}

/// `tokenizer.ggml.merges`: two tokens with a space between, the first to merge first.
fn read_merges(
    metadata: &Metadata,
    vocabulary: &Vocabulary,
) -> Result<HashMap<(u32, u32), Merge>, VocabularyError> {
    let list = required(metadata.strings("tokenizer.ggml.merges")?, "tokenizer.ggml.merges")?;
    if u32::try_from(list.len()).is_err() {
        return Err(VocabularyError::Problem(format!("a list of {} merges is too long", list.len())));
    }
    let mut merges = HashMap::with_capacity(list.len());
    let mut bytes = Vec::new();
    for (rank, merge) in list.iter().enumerate() {
        let problem = |what: &str| {
            VocabularyError::Problem(format!(
                "`tokenizer.ggml.merges` has `{}` in place {rank}, {what}; the file is damaged or was converted wrongly: \
                 convert it anew",
                merge[..merge.len().min(SHOWN_BYTES)].escape_ascii()
            ))
        };
        let halves = std::str::from_utf8(merge).ok().and_then(|merge| merge.split_once(' '));
        let Some((left, right)) =
            halves.filter(|(left, right)| !left.is_empty() && !right.is_empty() && !right.contains(' '))
        else {
            return Err(problem("which is not two tokens with a space between"));
        };
        let mut find = |spelled: &[&str]| {
            bytes.clear();
            for part in spelled {
                byte_letters::read(part.as_bytes(), &mut bytes);
            }
            vocabulary.find(&bytes)
        };
        let (Some(left), Some(right), Some(token)) = (find(&[left]), find(&[right]), find(&[left, right]))
        else {
            return Err(problem("of which a half or the whole is no token for text"));
        };
        merges.entry((left, right)).or_insert(Merge { rank: rank as u32, token });
    }
    Ok(merges)
}

/// No symbol.
const NONE: usize = usize::MAX;

/// A part of the piece that is one token.
#[derive(Debug)]
struct Symbol {
    /// [`GONE`] once it is merged into the one before.
    token: u32,
    previous: usize,
    next: usize,
}

/// No token: the vocabulary has fewer.
const GONE: u32 = u32::MAX;

/// Two neighbours that are to become one. The least is merged first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    rank: u32,
    left: usize,
    /// What they were, and are, if the pair still holds.
    halves: (u32, u32),
    token: u32,
}

/// The state of merging one piece, kept for the next one.
#[derive(Default)]
struct Merger {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Reverse<Pair>>,
}

impl Merger {
    /// Appends the tokens of `piece`, which is not empty.
    fn merge(&mut self, bpe: &Bpe, piece: &[u8], tokens: &mut Vec<u32>) {
        self.symbols.clear();
        self.symbols.extend(piece.iter().enumerate().map(|(index, &byte)| Symbol {
            token: bpe.byte_tokens[usize::from(byte)],
            previous: index.checked_sub(1).unwrap_or(NONE),
            next: if index + 1 < piece.len() { index + 1 } else { NONE },
        }));
        for left in 0..self.symbols.len() {
            self.consider(bpe, left);
        }
        while let Some(Reverse(pair)) = self.queue.pop() {
            let Symbol { token, previous, next: right } = self.symbols[pair.left];
            // Symbols only grow, and a longer one is another token.
            if right == NONE || (token, self.symbols[right].token) != pair.halves {
                continue;
            }
            let after = self.symbols[right].next;
            self.symbols[right].token = GONE;
            self.symbols[pair.left].token = pair.token;
            self.symbols[pair.left].next = after;
            if after != NONE {
                self.symbols[after].previous = pair.left;
            }
            if previous != NONE {
                self.consider(bpe, previous);
            }
            self.consider(bpe, pair.left);
        }
        let mut index = 0;
        while let Some(symbol) = self.symbols.get(index) {
            tokens.push(symbol.token);
            index = symbol.next;
        }
    }

    /// Queues `left` and its right neighbour if they merge.
    fn consider(&mut self, bpe: &Bpe, left: usize) {
        let Symbol { token, next, .. } = self.symbols[left];
        let Some(right) = self.symbols.get(next) else { return };
        let halves = (token, right.token);
        if let Some(&Merge { rank, token }) = bpe.merges.get(&halves) {
            self.queue.push(Reverse(Pair { rank, left, halves, token }));
        }
    }
}
