//! Which chat template a file carries, and what is said of it.
//!
//! A model that answers in the wrong format answers badly and says nothing, so a template is written only where there
//! is a reason for it, and either way the user is told.

use crate::family::Name;
use crate::json::{self, Keys, Members};
use crate::tokenizer::Vocabulary;
use crate::{ChatTemplate, Error, Options, input};
use quantize::Monitor;
use serde_json::Value;
use std::path::Path;

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
/// Llama 3's `tokenizer_config.json` has 50 KB.
const MAX_CONFIG_BYTES: u64 = 2 << 20;

/// The template of a Hugging Face folder, and the file that has it. `chat_template.jinja` counts first, as it does for
/// those who write it.
pub(crate) fn of_folder<'p>(
    own: &'p Path,
    tokenizer_config: &'p Path,
) -> Result<Option<(String, &'p Path)>, Error> {
    if own.exists() {
        return Ok(Some((read(own)?, own)));
    }
    if !tokenizer_config.exists() {
        return Ok(None);
    }
    let members: Members = json::read(tokenizer_config, MAX_CONFIG_BYTES, "JSON object of settings")?;
    let keys = Keys::new(tokenizer_config, &members);
    let text = match keys.get("chat_template") {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        // Several by name: for tools, for documents, and one that is meant where none is named.
        Some(Value::Array(all)) => {
            let default = all.iter().find(|template| template["name"] == "default");
            let text = default.and_then(|template| template["template"].as_str());
            text.ok_or_else(|| keys.fault("chat_template", "none of its templates is called `default`"))?
        }
        Some(other) => {
            let other = json::brief(other);
            return Err(
                keys.fault("chat_template", format_args!("{other} is neither a template nor a list of them"))
            );
        }
    };
    Ok(Some((text.to_owned(), tokenizer_config)))
}

/// The template's text, if there is to be one. `own`: the one that came with the checkpoint.
pub(crate) fn choose(
    options: &Options,
    own: Option<(String, &Path)>,
    name: &Name,
    vocabulary: &Vocabulary,
    monitor: &dyn Monitor,
) -> Result<Option<String>, Error> {
    match (&options.chat_template, own) {
        (ChatTemplate::None, _) => Ok(None),
        (ChatTemplate::Llama2, _) => Ok(Some(LLAMA2_CHAT_TEMPLATE.into())),
        (ChatTemplate::Llama3, _) => Ok(Some(LLAMA3_CHAT_TEMPLATE.into())),
        (ChatTemplate::File(path), _) => {
            let text = read(path)?;
            (options.check_template)(&text).map_err(|problem| Error::unfit(path, problem))?;
            Ok(Some(text))
        }
        (ChatTemplate::Auto, Some((text, path))) => {
            let path = path.display();
            monitor.note(&format!("chat template: that of {path}; --chat-template overrides it"));
            if let Err(problem) = (options.check_template)(&text) {
                monitor.note(&format!("{path}: llamita itself cannot use it: {problem}"));
            }
            Ok(Some(text))
        }
        (ChatTemplate::Auto, None) => Ok(by_name(name, vocabulary, monitor).map(Into::into)),
    }
}

/// The template that the name tells.
fn by_name(name: &Name, vocabulary: &Vocabulary, monitor: &dyn Monitor) -> Option<&'static str> {
    let (says, word, option, whose, text) = if vocabulary.has("<|start_header_id|>") {
        (name.says_instruct(), "Instruct", "llama3", "Llama 3's", LLAMA3_CHAT_TEMPLATE)
    } else {
        (name.says_chat(), "chat", "llama2", "Llama 2's", LLAMA2_CHAT_TEMPLATE)
    };
    let name = name.as_str();
    monitor.note(&if says {
        format!("chat template: {whose}, because of the name `{name}`; --chat-template overrides it")
    } else {
        format!(
            "chat template: none, because the name `{name}` does not say {word}; --chat-template {option} writes \
             {whose}"
        )
    });
    says.then_some(text)
}

fn read(path: &Path) -> Result<String, Error> {
    String::from_utf8(input::read_small(path, MAX_FILE_BYTES)?).map_err(|error| {
        let place = format_args!("at byte {}", error.utf8_error().valid_up_to()).to_string();
        Error::malformed(path, place, "a chat template is UTF-8 text, this is not")
    })
}
