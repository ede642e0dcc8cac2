//! Where the user's lines come from: an edited line with a history on a terminal, plain lines elsewhere.

use crate::error::Error;
use crate::interrupt;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use rustyline::config::{Behavior, Config};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Editor, Helper};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

/// The editor has the terminal mark pasted text; other programs would see the marks.
const BRACKETED_PASTE_OFF: &[u8] = b"\x1b[?2004l\n";

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Message(String),
    Clear,
    Exit,
    Unknown(String),
}

/// A source of lines.
pub(super) enum Input {
    Terminal { editor: Box<Editor<(), FileHistory>>, history: Option<PathBuf> },
    Pipe,
}

impl Input {
    /// A terminal if standard input is one. There the line is drawn on the terminal itself: standard output may be a
    /// file.
    pub(super) fn open() -> Result<Self, Error> {
        if !std::io::stdin().is_terminal() {
            return Ok(Self::Pipe);
        }
        let config = Config::builder().behavior(Behavior::PreferTerm).auto_add_history(false).build();
        let mut editor = Editor::with_config(config).map_err(terminal_error)?;
        let history = history_path();
        if let Some(path) = &history {
            // There is none yet, or it cannot be read: a chat is worth having without it.
            let _ = editor.load_history(path);
        }
        Ok(Self::Terminal { editor: Box::new(editor), history })
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal { .. })
    }

    /// The next line that is not blank; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Interrupted`] on Ctrl-C, or that the input cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<Line>, Error> {
        loop {
            let text = match self {
                Self::Terminal { editor, history } => read_terminal(editor, history.as_deref())?,
                Self::Pipe => read_pipe()?,
            };
            let Some(text) = text else { return Ok(None) };
            if !text.trim().is_empty() {
                return Ok(Some(parse(text)));
            }
        }
    }
}

fn parse(text: String) -> Line {
    match text.trim() {
        "/clear" => Line::Clear,
        "/exit" | "/quit" => Line::Exit,
        command if is_command(command) => Line::Unknown(command.to_owned()),
        _ => Line::Message(text),
    }
}

/// One word after a slash; `/usr/bin` and `/ 2` are messages.
fn is_command(text: &str) -> bool {
    text.strip_prefix('/')
        .is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic()))
}

fn read_terminal<H: Helper>(
    editor: &mut Editor<H, FileHistory>,
    history: Option<&Path>,
) -> Result<Option<String>, Error> {
    // The editor takes the terminal out of its usual mode: a signal that ends the process must put it back.
    let mode = tcgetattr(std::io::stdin()).ok();
    let restore = move || {
        if let Some(mode) = mode {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &mode);
        }
        if std::io::stderr().is_terminal() {
            let _ = std::io::stderr().write_all(BRACKETED_PASTE_OFF);
        }
    };
    match interrupt::while_waiting(restore, || editor.readline("> ")) {
        Ok(line) => {
            remember(editor, history, &line);
            Ok(Some(line))
        }
        Err(ReadlineError::Eof) => Ok(None),
        Err(ReadlineError::Interrupted) => Err(Error::Interrupted(String::new())),
        Err(error) => Err(terminal_error(error)),
    }
}

/// Line by line: whatever ends the process, the history is there. Where it cannot be written, the chat goes on.
fn remember<H: Helper>(editor: &mut Editor<H, FileHistory>, history: Option<&Path>, line: &str) {
    let is_new = !line.trim().is_empty() && editor.add_history_entry(line).unwrap_or(false);
    if let (true, Some(path)) = (is_new, history) {
        let _ = path.parent().map(std::fs::create_dir_all);
        let _ = editor.append_history(path);
    }
}

fn read_pipe() -> Result<Option<String>, Error> {
    let mut bytes = Vec::new();
    let stdin = Path::new("standard input");
    let n_read = interrupt::while_waiting(|| (), || std::io::stdin().lock().read_until(b'\n', &mut bytes));
    if n_read.map_err(Error::io(stdin))? == 0 {
        return Ok(None);
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::Failed("standard input: a line is not UTF-8 text; convert it first, with iconv".into())
    })?;
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}

fn terminal_error(error: ReadlineError) -> Error {
    Error::Failed(format!("the terminal cannot be read: {error}; lines through a pipe work without one"))
}

/// `$XDG_STATE_HOME/llamita/history`, by default under `~/.local/state`.
fn history_path() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(state.join("llamita").join("history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_one_word_after_a_slash() {
        for (text, line) in [
            ("/clear", Line::Clear),
            (" /exit ", Line::Exit),
            ("/quit", Line::Exit),
            ("/help", Line::Unknown("/help".into())),
            ("/usr/bin is a folder", Line::Message("/usr/bin is a folder".into())),
            ("/ 2", Line::Message("/ 2".into())),
            ("  indented", Line::Message("  indented".into())),
        ] {
            assert_eq!(parse(text.into()), line);
        }
    }
}
