//! Which chat template a file carries, and what is said of it.
//!
//! A model that answers in the wrong format answers badly and says nothing, so a template is written only where there
//! is a reason for it, and either way the user is told.

use crate::family::Name;
use crate::{ChatTemplate, Error, input};
use quantize::Monitor;

/// Llama 2's chat format: what Meta's `chat_completion` feeds the model, as a Jinja template.
///
/// A turn is `<s>[INST] user [/INST] assistant </s>`, the texts stripped; a system message stands between `<<SYS>>` and
/// `<</SYS>>` before the first user's text, and is stripped together with it. It ends after `[/INST]`, where the model
/// goes on.
pub const LLAMA2_CHAT_TEMPLATE: &str = include_str!("llama2.jinja");

/// Llama 3's chat format: what Meta's `ChatFormat` feeds the model, as a Jinja template.
///
/// A turn is a header with the role, an empty line, the stripped text and `<|eot_id|>`. It ends after the assistant's
/// header, where the model goes on.
pub const LLAMA3_CHAT_TEMPLATE: &str = include_str!("llama3.jinja");

/// The longest templates in use have 10 KB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The template's text, if there is to be one. `llama3`: the tokenizer is Llama 3's, and has its headers.
pub(crate) fn choose(
    choice: &ChatTemplate,
    name: &Name,
    llama3: bool,
    monitor: &dyn Monitor,
) -> Result<Option<String>, Error> {
    match choice {
        ChatTemplate::None => Ok(None),
        ChatTemplate::Llama2 => Ok(Some(LLAMA2_CHAT_TEMPLATE.into())),
        ChatTemplate::Llama3 => Ok(Some(LLAMA3_CHAT_TEMPLATE.into())),
        ChatTemplate::File(path) => {
            let text = String::from_utf8(input::read_small(path, MAX_FILE_BYTES)?).map_err(|error| {
                let place = format_args!("at byte {}", error.utf8_error().valid_up_to()).to_string();
                Error::malformed(path, place, "a chat template is UTF-8 text, this is not")
            })?;
            Ok(Some(text))
        }
        ChatTemplate::Auto => {
            let (says, word, option, whose, text) = if llama3 {
                (name.says_instruct(), "Instruct", "llama3", "Llama 3's", LLAMA3_CHAT_TEMPLATE)
            } else {
                (name.says_chat(), "chat", "llama2", "Llama 2's", LLAMA2_CHAT_TEMPLATE)
            };
            let name = name.as_str();
            monitor.note(&if says {
                format!("chat template: {whose}, because of the name `{name}`; --chat-template overrides it")
            } else {
                format!(
                    "chat template: none, because the name `{name}` does not say {word}; \
                     --chat-template {option} writes {whose}"
                )
            });
            Ok(says.then(|| text.into()))
        }
    }
}
