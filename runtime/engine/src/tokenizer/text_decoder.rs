//! Tokens become text while they come.
//!
//! A token may hold a part of a character: its bytes wait for the rest. Bytes that no continuation can make valid are
//! replaced at once, each maximal part of a character by one U+FFFD, as `String::from_utf8_lossy` does for the whole.

use super::Tokenizer;

/// Turns a stream of tokens into valid UTF-8 pieces: holds incomplete characters back.
///
/// The default is for text that continues a prompt: nothing is dropped, control tokens have no text.
#[derive(Debug, Default)]
pub struct TextDecoder {
    /// Bytes that are no text yet; at most 3 of them between calls.
    pending: Vec<u8>,
    /// What the last call returned.
    text: String,
    special: bool,
    /// No text has come yet, and a space that the tokenizer set there is to be dropped.
    at_start: bool,
}

impl TextDecoder {
    /// For tokens that are a text from its start: the space that the tokenizer set before the first word is dropped.
    /// `special`: control tokens are written out.
    pub fn whole_text(special: bool) -> Self {
        Self { special, at_start: true, ..Self::default() }
    }

    /// The text that is complete once `token` has come. Borrowed from the decoder; allocates nothing once warm.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> &str {
        let mut bytes = tokenizer.bytes(token, self.special);
        if self.at_start && tokenizer.is_text(token) {
            self.at_start = false;
            if tokenizer.adds_space() {
                bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            }
        }
        self.text.clear();
        // A byte that is replaced takes three; no later token can need more than this.
        let n_most = tokenizer.longest_piece() + 3;
        self.text.reserve(n_most.saturating_mul(3));
        self.pending.reserve(n_most);
        self.pending.extend_from_slice(bytes);
        self.take_complete();
        &self.text
    }

    /// What is left, replaced where it is no character. The decoder is then ready for another text.
    pub fn finish(&mut self) -> &str {
        self.text.clear();
        if !self.pending.is_empty() {
            self.pending.clear();
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
        &self.text
    }

    /// Moves all but an incomplete character at the end from `pending` to `text`.
    fn take_complete(&mut self) {
        let mut rest = self.pending.as_slice();
        while !rest.is_empty() {
            let (n_valid, n_invalid) = match std::str::from_utf8(rest) {
                Ok(_) => (rest.len(), Some(0)),
                Err(error) => (error.valid_up_to(), error.error_len()),
            };
            let (valid, after) = rest.split_at(n_valid);
            self.text.push_str(std::str::from_utf8(valid).unwrap_or_default());
            rest = after;
            match n_invalid {
                Some(0) => {}
                Some(n) => {
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[n..];
                }
                None => break,
            }
        }
        let n_taken = self.pending.len() - rest.len();
        self.pending.drain(..n_taken);
    }
}
