//! A conversation as the model was trained to see it: the file's own template.

use crate::Error;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// A turn.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Who.
    pub role: Role,
    /// What.
    pub content: String,
}

/// A compiled `tokenizer.chat_template`.
#[derive(Debug)]
pub struct ChatTemplate {}

impl ChatTemplate {
    /// The template of a file; `None` if it carries none.
    pub fn from_gguf(_file: &gguf::File) -> Result<Option<Self>, Error> {
        todo!()
    }

    /// Compiles a template. `bos` and `eos` are the texts of these tokens.
    pub fn new(_source: &str, _bos: &str, _eos: &str) -> Result<Self, Error> {
        todo!()
    }

    /// The text of a conversation, ready for the assistant's next turn. Bounded in time and size.
    pub fn render(&self, _messages: &[Message]) -> Result<String, Error> {
        todo!()
    }
}
