//! A conversation as a file: JSON, a list of `{"role": …, "content": …}` as OpenAI's API and the templates have it.

use crate::error::Error;
use engine::{Message, Role};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The longest file that is read. A context of 131072 tokens holds about a hundredth of it.
const MAX_BYTES: u64 = 64 << 20;

/// Writes a conversation; the file appears whole or not at all.
pub(super) fn save(path: &Path, messages: &[Message]) -> Result<(), Error> {
    let mut text = serde_json::to_vec_pretty(messages).map_err(|error| Error::Failed(error.to_string()))?;
    text.push(b'\n');
    let mut output = gguf::Output::create(path, text.len() as u64)?;
    output.write(&text)?;
    Ok(output.finish()?)
}

/// Reads a conversation: at most one system prompt, which comes first, then messages and answers in turn.
///
/// # Errors
/// If it cannot be read, or is no such list; the sentence names the place.
pub(super) fn load(path: &Path) -> Result<Vec<Message>, Error> {
    let failed = |why: String| Error::Failed(format!("{}: {why}", path.display()));
    // Whoever opens a pipe waits for its writer.
    if !std::fs::metadata(path).map_err(Error::io(path))?.is_file() {
        return Err(failed("this is no file; /load needs one that /save wrote".into()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(failed(format!("a conversation of more than {} MiB fits no context", MAX_BYTES >> 20)));
    }
    let messages: Vec<Message> = serde_json::from_slice(&bytes)
        .map_err(|error| failed(format!("this is no conversation as /save writes it: {error}")))?;

    let mut next = Role::User;
    for (index, message) in messages.iter().enumerate() {
        if index == 0 && message.role == Role::System {
            continue;
        }
        if message.role != next {
            return Err(failed(format!(
                "message {index} is out of turn: after one system prompt at most, user and assistant take turns, and \
                 the user begins"
            )));
        }
        next = if next == Role::User { Role::Assistant } else { Role::User };
    }
    if next == Role::Assistant {
        return Err(failed("the last message has no answer; every message needs one".into()));
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("chat.json");
        let message = |role, content: &str| Message { role, content: content.into() };
        for messages in [
            vec![],
            vec![message(Role::System, "Be brief.")],
            vec![message(Role::User, "two\nlines \u{1b} \"é\""), message(Role::Assistant, "")],
        ] {
            save(&path, &messages).expect("there is room");
            assert_eq!(load(&path).expect("our own file"), messages);
        }
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("chat.json");
        let user = r#"{"role":"user","content":"a"}"#;
        let system = r#"{"role":"system","content":"a"}"#;
        for (text, says) in [
            (String::new(), "line 1 column 0"),
            ("{}".into(), "no conversation"),
            (format!("[{user}"), "EOF"),
            (r#"[{"role":"robot","content":"a"}]"#.into(), "robot"),
            (r#"[{"role":"user"}]"#.into(), "content"),
            (format!("[{user},{user}]"), "message 1 is out of turn"),
            (format!("[{system},{system}]"), "message 1 is out of turn"),
            (format!("[{user}]"), "no answer"),
            ("[".repeat(100_000), "no conversation"),
        ] {
            std::fs::write(&path, &text).expect("there is room");
            let error = load(&path).expect_err(says).to_string();
            assert!(error.starts_with(&path.display().to_string()) && error.contains(says), "{error}");
        }
        let error = load(folder.path()).expect_err("a folder").to_string();
        assert!(error.contains("this is no file"), "{error}");
        assert!(load(&folder.path().join("absent")).is_err());
    }
}
