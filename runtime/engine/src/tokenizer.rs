//! Text to tokens and back.

use crate::Error;

/// A tokenizer from a GGUF's metadata.
#[derive(Debug)]
pub struct Tokenizer {}

impl Tokenizer {
    /// Reads `tokenizer.ggml.*`. Works for vocabulary-only files of any architecture whose tokenizer model it knows.
    pub fn from_gguf(_file: &gguf::File) -> Result<Self, Error> {
        todo!()
    }

    /// Tokens in the vocabulary.
    pub fn n_tokens(&self) -> usize {
        todo!()
    }

    /// Tokens of a text. `special`: control tokens written in the text become those tokens; else they stay text.
    /// BOS (and EOS) are not added: see [`with_bos`](Self::with_bos).
    pub fn encode(&self, _text: &str, _special: bool) -> Vec<u32> {
        todo!()
    }

    /// Tokens of a prompt as the model wants it: BOS first where `add_bos_token` says so and it is not there already.
    pub fn with_bos(&self, _tokens: Vec<u32>) -> Vec<u32> {
        todo!()
    }

    /// A token's bytes; control tokens have none unless `special`. The first token's leading space is kept:
    /// [`decode`](Self::decode) drops it.
    pub fn bytes(&self, _token: u32, _special: bool) -> &[u8] {
        todo!()
    }

    /// Text of tokens, invalid UTF-8 replaced.
    pub fn decode(&self, _tokens: &[u32], _special: bool) -> String {
        todo!()
    }

    /// Beginning of sequence.
    pub fn bos(&self) -> Option<u32> {
        todo!()
    }

    /// End of sequence.
    pub fn eos(&self) -> Option<u32> {
        todo!()
    }

    /// Whether generation ends with this token: eos, eot, eom.
    pub fn is_end(&self, _token: u32) -> bool {
        todo!()
    }
}

/// Turns a stream of tokens into valid UTF-8 pieces: holds incomplete characters back.
#[derive(Debug, Default)]
pub struct TextDecoder {}

impl TextDecoder {
    /// The text that is complete once `token` has come. Borrowed from the decoder; allocates nothing once warm.
    pub fn push(&mut self, _tokenizer: &Tokenizer, _token: u32) -> &str {
        todo!()
    }

    /// What is left, replaced where it is no character.
    pub fn finish(&mut self) -> &str {
        todo!()
    }
}
