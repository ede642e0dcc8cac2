//! SentencePiece's tokens from plain text, the `llama` model of GGUF.
//!
//! A text starts as its characters. Of all neighbours that together are a piece of the vocabulary, the pair whose
//! piece has the highest score is merged (the leftmost of equals), until none is left. A character that is no piece
//! becomes its UTF-8 bytes (`<0xE2>` …), or the unknown token where the vocabulary has no bytes.
//!
//! The pairs wait in a heap and the symbols are a linked list: n log n. A pair whose sides have changed since is
//! recognized by its length and skipped, which costs less than taking it out.
//!
//! In most vocabularies a space occurs only at the start of a piece. Then no merge reaches over the start of a word,
//! and the words are merged one by one: the same tokens from a heap that stays in the cache.

use super::vocabulary::{Kind, SPACE_MARK, Vocabulary, VocabularyError};
use gguf::Metadata;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// How this file's SentencePiece treats plain text.
#[derive(Debug)]
pub(super) struct Spm {
    add_space_prefix: bool,
    /// No piece has a space after another character.
    spaces_begin_words: bool,
    byte_tokens: Box<[Option<u32>; 256]>,
}

impl Spm {
    pub(super) fn new(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self, VocabularyError> {
        let mut byte_tokens = Box::new([None; 256]);
        let mut spaces_begin_words = true;
        for (id, kind) in vocabulary.kinds() {
            let piece = vocabulary.piece(id);
            if kind == Kind::Byte {
                byte_tokens[usize::from(piece[0])].get_or_insert(id);
            } else if kind.is_from_text() {
                spaces_begin_words &= !piece.windows(2).any(|pair| pair[0] != b' ' && pair[1] == b' ');
            }
        }
        if vocabulary.unknown().is_none()
            && let Some(byte) = byte_tokens.iter().position(Option::is_none)
        {
            return Err(VocabularyError::Problem(format!(
                "its vocabulary has neither an unknown token nor one for the byte `<0x{byte:02X}>`, so that some \
                 texts could not be expressed; convert the file anew"
            )));
        }
        let add_space_prefix = metadata.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        Ok(Self { add_space_prefix, spaces_begin_words, byte_tokens })
    }

    /// Whether a text gets a space before its first word.
    pub(super) fn adds_space(&self) -> bool {
        self.add_space_prefix
    }

    /// Appends the tokens of `text`. `begins_word`: it stands at the start or after a special token.
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        begins_word: bool,
        tokens: &mut Vec<u32>,
    ) {
        let mut text = Cow::Borrowed(text);
        if text.contains(SPACE_MARK) {
            text = text.replace(SPACE_MARK, " ").into();
        }
        if self.add_space_prefix && begins_word {
            text.to_mut().insert(0, ' ');
        }
        let mut merger = Merger::default();
        let mut rest = &*text;
        while !rest.is_empty() {
            let n_bytes = if self.spaces_begin_words { first_word_bytes(rest) } else { rest.len() };
            let (word, after) = rest.split_at(n_bytes);
            merger.merge(vocabulary, word);
            self.emit(vocabulary, word, &merger.symbols, tokens);
            rest = after;
        }
    }

    fn emit(&self, vocabulary: &Vocabulary, word: &str, symbols: &[Symbol], tokens: &mut Vec<u32>) {
        let mut index = 0;
        while let Some(symbol) = symbols.get(index) {
            let bytes = &word.as_bytes()[symbol.start..symbol.start + symbol.n_bytes];
            index = symbol.next;
            if let Some(token) = vocabulary.find(bytes) {
                tokens.push(token);
                continue;
            }
            let n_before = tokens.len();
            tokens.extend(bytes.iter().map_while(|&byte| self.byte_tokens[usize::from(byte)]));
            if tokens.len() - n_before < bytes.len() {
                tokens.truncate(n_before);
                tokens.extend(vocabulary.unknown()); // there is one: `new` saw to it
            }
        }
    }
}

/// Bytes up to the first space that follows something else.
fn first_word_bytes(text: &str) -> usize {
    let n_spaces = text.bytes().take_while(|&byte| byte == b' ').count();
    text.as_bytes()[n_spaces..].iter().position(|&byte| byte == b' ').map_or(text.len(), |at| n_spaces + at)
}

/// No symbol.
const NONE: usize = usize::MAX;

/// A part of the word that is one piece, or one character.
#[derive(Debug)]
struct Symbol {
    start: usize,
    /// 0: merged into the one before.
    n_bytes: usize,
    previous: usize,
    next: usize,
}

/// Two neighbours that together are a piece.
#[derive(Debug)]
struct Pair {
    score: f32,
    left: usize,
    /// Of both together, when the pair was seen.
    n_bytes: usize,
}

impl Ord for Pair {
    /// The greatest is merged first.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pair {}

/// The state of merging one word, kept for the next one.
#[derive(Default)]
struct Merger {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Pair>,
}

impl Merger {
    /// Leaves the list of symbols, the first at 0.
    fn merge(&mut self, vocabulary: &Vocabulary, word: &str) {
        self.symbols.clear();
        self.symbols.extend(word.char_indices().enumerate().map(|(index, (start, character))| Symbol {
            start,
            n_bytes: character.len_utf8(),
            previous: index.checked_sub(1).unwrap_or(NONE),
            next: index + 1,
        }));
        if let Some(last) = self.symbols.last_mut() {
            last.next = NONE;
        }
        for left in 0..self.symbols.len() {
            self.consider(vocabulary, word, left);
        }
        while let Some(pair) = self.queue.pop() {
            let Symbol { n_bytes, previous, next: right, .. } = self.symbols[pair.left];
            // A side that was merged since is longer now, or gone: symbols only grow.
            if n_bytes == 0 || right == NONE || n_bytes + self.symbols[right].n_bytes != pair.n_bytes {
                continue;
            }
            let after = self.symbols[right].next;
            self.symbols[right].n_bytes = 0;
            self.symbols[pair.left].n_bytes = pair.n_bytes;
            self.symbols[pair.left].next = after;
            if after != NONE {
                self.symbols[after].previous = pair.left;
            }
            if previous != NONE {
                self.consider(vocabulary, word, previous);
            }
            self.consider(vocabulary, word, pair.left);
        }
    }

    /// Queues `left` and its right neighbour if they are a piece.
    fn consider(&mut self, vocabulary: &Vocabulary, word: &str, left: usize) {
        let Symbol { start, n_bytes, next, .. } = self.symbols[left];
        if next == NONE {
            return;
        }
        let n_bytes = n_bytes + self.symbols[next].n_bytes;
        if let Some(token) = vocabulary.find(&word.as_bytes()[start..start + n_bytes]) {
            self.queue.push(Pair { score: vocabulary.score(token), left, n_bytes });
        }
    }
}
