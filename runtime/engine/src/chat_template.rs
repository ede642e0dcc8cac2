//! A conversation as the model was trained to see it: the file's own template.
//!
//! Templates are Jinja as Hugging Face's Python runs it: `trim_blocks` and `lstrip_blocks` on, `{% break %}` known,
//! [methods] of Python's strings and dictionaries, `raise_exception`, [`strftime_now`](clock). A template
//! comes with a downloaded file and is a program, so it gets a budget: [limits] on its size bound the compiler, fuel
//! bounds a rendering in time *and* memory (minijinja charges for bytes as well as for steps), and there is nothing
//! that it could include or import.
//!
//! What people write in a conversation is not the template's: [`ChatTemplate::encode`] keeps a `</s>` in a message
//! text, while the template's own becomes the token.

mod clock;
mod limits;
mod methods;

#[cfg(test)]
mod tests;

use crate::{Error, Tokenizer};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};
use std::fmt::Write;

/// The name of the one template.
const NAME: &str = "chat_template";

/// Steps that a rendering may take; one also pays for 64 bytes. That is 16 MiB, and twice as much while a text grows. A
/// conversation of 500 long messages through Llama 3.1's template takes a twentieth of it.
const FUEL: u64 = 1 << 18;

/// The parser descends into operators and `elif`s without a limit of its own. Within [`limits`] it needs less than
/// half of this, measured without optimization.
const MAX_STACK_BYTES: usize = 64 << 20;

/// The same for a template of few bytes, each of which may be an operator: pages that are not touched cost nothing, but
/// where data are limited (`ulimit -d`) the whole stack counts.
const STACK_BYTES: usize = 1 << 20;
const STACK_BYTES_PER_BYTE: usize = 8 << 10;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Role {
    System,
    User,
    Assistant,
}

impl Role {
    /// As templates and OpenAI's API spell it.
    fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
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
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// The template of a file; `None` if it carries none.
    ///
    /// # Errors
    /// If it cannot be compiled within its limits.
    pub fn from_gguf(file: &gguf::File) -> Result<Option<Self>, Error> {
        let metadata = file.metadata();
        let key = |source| Error::key(file, source);
        let Some(source) = metadata.str("tokenizer.chat_template").map_err(key)? else { return Ok(None) };
        let text = |name: &str, default: &str| -> Result<String, gguf::KeyError> {
            let id = metadata.uint(&format!("tokenizer.ggml.{name}_token_id"))?;
            let tokens = metadata.strings("tokenizer.ggml.tokens")?;
            Ok(match (id, tokens) {
                (Some(id), Some(tokens)) => {
                    let token = usize::try_from(id).ok().and_then(|id| tokens.get(id));
                    String::from_utf8_lossy(token.unwrap_or_default()).into_owned()
                }
                // SentencePiece's own, as the tokenizer takes them.
                _ if metadata.str("tokenizer.ggml.model")? == Some("llama") => default.to_owned(),
                _ => String::new(),
            })
        };
        let (bos, eos) = (text("bos", "<s>").map_err(key)?, text("eos", "</s>").map_err(key)?);
        Self::compile(source, &bos, &eos).map(Some).map_err(|problem| Error::model(file, problem))
    }

    /// Compiles a template. `bos` and `eos` are the texts of these tokens.
    ///
    /// # Errors
    /// If it is no template, or is beyond its limits.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, Error> {
        Self::compile(source, bos, eos).map_err(Error::Request)
    }

    /// Whether a template is of use, which some show only when they are rendered: it lays out a conversation of one message.
    ///
    /// # Errors
    /// As of [`new`](Self::new) and [`render`](Self::render).
    pub fn check(source: &str) -> Result<(), Error> {
        let message = Message { role: Role::User, content: "Hello".to_owned() };
        Self::new(source, "<s>", "</s>")?.render(&[message]).map(|_| ())
    }

    fn compile(source: &str, bos: &str, eos: &str) -> Result<Self, String> {
        limits::check(source)?;
        let source = source.to_owned();
        let stack_bytes = (STACK_BYTES + STACK_BYTES_PER_BYTE * source.len()).min(MAX_STACK_BYTES);
        let environment = std::thread::Builder::new()
            .stack_size(stack_bytes)
            .spawn(|| environment(source))
            .map_err(|why| format!("no thread to compile the chat template can be started: {why}"))?
            .join()
            .map_err(|_| "the chat template cannot be compiled: the compiler failed".to_owned())??;
        Ok(Self { environment, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The text of a conversation, ready for the assistant's next turn. Bounded in time and size.
    ///
    /// Whoever turns it into tokens with `special` set lets the messages write control tokens:
    /// [`encode`](Self::encode) does not.
    ///
    /// # Errors
    /// If the template refuses the conversation, fails, or does not end within its limits.
    pub fn render(&self, messages: &[Message]) -> Result<String, Error> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => message.role.name(), content => message.content.as_str() })
            .collect();
        let context = context! {
            messages,
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            tools => (),
        };
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(context))
            .map_err(|error| Error::Request(sentence(&error)))
    }

    /// The tokens of a conversation, BOS first and once. Control tokens come from the template only: one that is
    /// written in a message stays text.
    ///
    /// # Errors
    /// As of [`render`](Self::render).
    pub fn encode(&self, tokenizer: &Tokenizer, messages: &[Message]) -> Result<Vec<u32>, Error> {
        let guarded: Vec<Message> = messages
            .iter()
            .map(|message| Message { role: message.role, content: tokenizer.guard(&message.content) })
            .collect();
        Ok(tokenizer.with_bos(tokenizer.encode_guarded(&self.render(&guarded)?)))
    }
}

/// With the template in it.
fn environment(source: String) -> Result<Environment<'static>, String> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| sentence(&error))?);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(methods::call);
    environment.add_function("strftime_now", clock::strftime_now);
    environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("{REFUSAL}{message}")))
    });
    environment.add_template_owned(NAME, source).map_err(|error| sentence(&error))?;
    Ok(environment)
}

/// How the template's own errors begin.
const REFUSAL: &str = "it refuses this conversation: ";

fn sentence(error: &minijinja::Error) -> String {
    let mut text = "the chat template".to_owned();
    if let Some(line) = error.line() {
        let _ = write!(text, ", line {line}");
    }
    let what = match error.kind() {
        ErrorKind::OutOfFuel => {
            return text
                + " does not end within its limits of time and memory; another can be given by --chat-template";
        }
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
    let _ = write!(text, ": {what}");
    text
}
