//! Special tokens that are written in a text.
//!
//! The candidates are a sorted list; at each place of the text it is narrowed byte by byte, so that the longest match
//! is found in time that does not depend on how many there are. A table of first bytes skips nearly every place.

use super::vocabulary::{Kind, Vocabulary};

/// Longer tokens are not looked for: it bounds the work at each byte of the text. The longest that models have (runs
/// of spaces or newlines in user-defined tokens) are under 128 bytes.
const MAX_SPECIAL_BYTES: usize = 512;

/// A special token in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) token: u32,
    /// First byte.
    pub(super) start: usize,
    /// The byte after the last.
    pub(super) end: usize,
}

/// Tokens that are matched as a whole.
#[derive(Debug)]
pub(super) struct Specials {
    /// Found only if asked for: control and unknown, and the rest with them.
    all: Matcher,
    /// Found always.
    user_defined: Matcher,
}

impl Specials {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let of = |wanted: &[Kind]| {
            Matcher::new(
                vocabulary,
                vocabulary.kinds().filter(|(_, kind)| wanted.contains(kind)).map(|(id, _)| id),
            )
        };
        Self {
            all: of(&[Kind::Control, Kind::Unknown, Kind::UserDefined]),
            user_defined: of(&[Kind::UserDefined]),
        }
    }

    /// The first special token of `text`; the longest of those that begin there. `special`: control tokens too.
    pub(super) fn find(&self, vocabulary: &Vocabulary, text: &str, special: bool) -> Option<Found> {
        let matcher = if special { &self.all } else { &self.user_defined };
        matcher.find(vocabulary, text.as_bytes())
    }
}

#[derive(Debug)]
struct Matcher {
    /// By bytes, then by id; no two with the same bytes.
    sorted: Vec<u32>,
    /// Bytes that one of them begins with.
    first: Box<[bool; 256]>,
}

impl Matcher {
    fn new(vocabulary: &Vocabulary, ids: impl Iterator<Item = u32>) -> Self {
        // What is no UTF-8 could match in the middle of a character.
        let mut sorted: Vec<u32> = ids
            .filter(|&id| {
                let piece = vocabulary.piece(id);
                (1..=MAX_SPECIAL_BYTES).contains(&piece.len()) && std::str::from_utf8(piece).is_ok()
            })
            .collect();
        sorted.sort_by_key(|&id| vocabulary.piece(id));
        sorted.dedup_by_key(|id| vocabulary.piece(*id));
        let mut first = Box::new([false; 256]);
        for &id in &sorted {
            first[usize::from(vocabulary.piece(id)[0])] = true;
        }
        Self { sorted, first }
    }

    fn find(&self, vocabulary: &Vocabulary, text: &[u8]) -> Option<Found> {
        if self.sorted.is_empty() {
            return None;
        }
        (0..text.len()).filter(|&start| self.first[usize::from(text[start])]).find_map(|start| {
            self.longest_prefix(vocabulary, &text[start..]).map(|token| Found {
                token,
                start,
                end: start + vocabulary.piece(token).len(),
            })
        })
    }

    /// The longest token that `text` begins with.
    fn longest_prefix(&self, vocabulary: &Vocabulary, text: &[u8]) -> Option<u32> {
        let mut candidates = self.sorted.as_slice();
        let mut longest = None;
        for (depth, &byte) in text.iter().enumerate() {
            // All candidates agree with the text up to `depth`; one that ends there stands first and was taken.
            let at_depth = |id: u32| vocabulary.piece(id).get(depth).copied();
            let start = candidates.partition_point(|&id| at_depth(id) < Some(byte));
            let end = candidates.partition_point(|&id| at_depth(id) <= Some(byte));
            candidates = &candidates[start..end];
            let Some(&shortest) = candidates.first() else { break };
            if vocabulary.piece(shortest).len() == depth + 1 {
                longest = Some(shortest);
            }
        }
        longest
    }
}
