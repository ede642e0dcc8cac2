//! The commands of a chat: a slash and a word first in a line, then what they work on.

use std::path::PathBuf;

/// What `/help` shows.
pub(super) const HELP: &str = "\
/clear          begin a new conversation, with the same system prompt
/regen          answer the last message again
/system TEXT    give the model something to keep in mind; without a text: nothing
/save FILE      write the conversation as JSON
/load FILE      go on with a saved one
/stats          figures of the last answer, and how full the context is
/exit           leave, as Ctrl-D does
A line that ends in a backslash goes on in the next one; so does everything between two lines of \"\"\".
A line that begins with a space is never a command.
";

/// What the user wants of the chat itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Clear,
    Exit,
    Help,
    Load(PathBuf),
    Regenerate,
    Save(PathBuf),
    Statistics,
    /// The new system prompt; `None`: none.
    System(Option<String>),
}

impl Command {
    /// The command that a text is; `None` if it is a message, such as `/usr/bin is a folder` or `/ 2`.
    ///
    /// # Errors
    /// The sentence for a text that looks like a command but is none.
    pub(super) fn parse(text: &str) -> Option<Result<Self, String>> {
        let text = text.strip_prefix('/')?;
        let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphabetic()) {
            return None;
        }
        let rest = rest.trim();
        let file = |make: fn(PathBuf) -> Self| match rest {
            "" => Err(format!("/{name} needs the name of a file")),
            path => Ok(make(path.into())),
        };
        let alone = |command| match rest {
            "" => Ok(command),
            _ => Err(format!("/{name} stands alone; a line that begins with a space is a message")),
        };
        Some(match name {
            "clear" => alone(Self::Clear),
            "exit" | "quit" => alone(Self::Exit),
            "help" => alone(Self::Help),
            "load" => file(Self::Load),
            "regen" => alone(Self::Regenerate),
            "save" => file(Self::Save),
            "stats" => alone(Self::Statistics),
            "system" => Ok(Self::System((!rest.is_empty()).then(|| rest.to_owned()))),
            _ => Err(format!(
                "there is no command /{name}; /help shows those there are, and a line that begins with a space is a \
                 message"
            )),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_a_word_after_a_slash() {
        for (text, command) in [
            ("/clear", Some(Command::Clear)),
            ("/exit ", Some(Command::Exit)),
            ("/quit", Some(Command::Exit)),
            ("/save  my chat.json ", Some(Command::Save("my chat.json".into()))),
            ("/load a.json", Some(Command::Load("a.json".into()))),
            ("/system", Some(Command::System(None))),
            ("/system Be brief.\nBe kind.", Some(Command::System(Some("Be brief.\nBe kind.".into())))),
            ("/usr/bin is a folder", None),
            ("/ 2", None),
            ("/", None),
            (" /clear", None),
            ("clear", None),
        ] {
            assert_eq!(Command::parse(text), command.map(Ok), "{text}");
        }
        for (text, says) in [
            ("/sav a.json", "no command /sav"),
            ("/save", "/save needs the name of a file"),
            ("/load ", "/load needs"),
            ("/exit now", "/exit stands alone"),
        ] {
            let error = Command::parse(text).and_then(Result::err).unwrap_or_default();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn help_names_every_command() {
        for line in HELP.lines().filter(|line| line.starts_with('/')) {
            let (name, about) = line.split_once(' ').expect("a word and what it does");
            let text = if about.starts_with("FILE") { format!("{name} a.json") } else { name.to_owned() };
            assert!(matches!(Command::parse(&text), Some(Ok(_))), "{line}");
        }
    }
}
