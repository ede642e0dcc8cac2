//! Where the user's messages come from: edited lines with a history on a terminal, plain lines elsewhere. A message is
//! one line, or several where the first says so.
//!
//! The history of what was typed is `$XDG_STATE_HOME/llamita/history`; nothing that comes through a pipe is in it.

use super::command::Command;
use crate::error::Error;
use crate::{interrupt, system, terminal};
use rustyline::config::{Behavior, Config};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Editor, Helper};
use std::io::{BufRead as _, ErrorKind, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The editor has the terminal mark pasted text; other programs would see the marks.
const BRACKETED_PASTE_OFF: &[u8] = b"\x1b[?2004l\n";

/// Lines that the history keeps: a few evenings.
const HISTORY_LINES: usize = 1000;
/// Around a message of several lines.
const QUOTES: &str = "\"\"\"";
/// The longest message that is read. The largest context holds about a twentieth of it; without an end, memory would
/// have none either.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Message(String),
    Command(Command),
    /// It looks like a command; the sentence says what is wrong with it.
    NoCommand(String),
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
        let config = Config::builder()
            .behavior(Behavior::PreferTerm)
            .auto_add_history(false)
            .max_history_size(HISTORY_LINES)
            .map_err(terminal_error)?
            .build();
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

    /// The next message or command that is not blank; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Interrupted`] on Ctrl-C at the start of one, or that the input cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<Line>, Error> {
        loop {
            let mut is_begun = false;
            let line = assemble(|goes_on| {
                is_begun = goes_on;
                match self {
                    _ if interrupt::terminated() => Err(Error::Interrupted(String::new())),
                    Self::Terminal { editor, history } => {
                        read_terminal(editor, history.as_deref(), if goes_on { ". " } else { "> " })
                    }
                    Self::Pipe => read_pipe(),
                }
            });
            match line {
                Ok(Some(Line::Message(text))) if text.trim().is_empty() => {}
                // Ctrl-C takes back what was begun.
                Err(Error::Interrupted(_)) if is_begun && !interrupt::terminated() => {}
                line => return line,
            }
        }
    }
}

/// Puts a message together from what `read` gives; it is told whether the line goes on with a message.
fn assemble(mut read: impl FnMut(bool) -> Result<Option<String>, Error>) -> Result<Option<Line>, Error> {
    let Some(mut text) = read(false)? else { return Ok(None) };
    let mut read_on = |length: usize| {
        let line = read(true)?;
        if length + line.as_ref().map_or(0, String::len) > MAX_MESSAGE_BYTES {
            return Err(too_long());
        }
        Ok(line)
    };
    if let Some(first) = text.strip_prefix(QUOTES) {
        let mut text = String::new();
        let mut line = Some(first.to_owned());
        while let Some(next) = line {
            let last = next.trim_end().strip_suffix(QUOTES);
            text.push_str(last.unwrap_or(&next));
            if last.is_some() {
                break;
            }
            text.push('\n');
            line = read_on(text.len())?;
        }
        return Ok(Some(Line::Message(text.trim_matches('\n').to_owned())));
    }
    while text.ends_with('\\') {
        text.pop();
        let Some(next) = read_on(text.len())? else { break };
        text.push('\n');
        text.push_str(&next);
    }
    Ok(Some(match Command::parse(&text) {
        Some(Ok(command)) => Line::Command(command),
        Some(Err(why)) => Line::NoCommand(why),
        None => Line::Message(text),
    }))
}

fn too_long() -> Error {
    Error::Failed(format!(
        "standard input: a message of more than {} MiB fits no context; split it",
        MAX_MESSAGE_BYTES >> 20
    ))
}

fn read_terminal<H: Helper>(
    editor: &mut Editor<H, FileHistory>,
    history: Option<&Path>,
    prompt: &str,
) -> Result<Option<String>, Error> {
    // The editor takes the terminal out of its usual mode: a signal that ends the process must put it back.
    let restore_mode = system::terminal_mode();
    let restore = move || {
        restore_mode();
        if std::io::stderr().is_terminal() {
            let _ = std::io::stderr().write_all(BRACKETED_PASTE_OFF);
        }
    };
    match interrupt::while_waiting(restore, || editor.readline(prompt)) {
        Ok(line) => {
            remember(editor, history, &line);
            Ok(Some(line))
        }
        Err(ReadlineError::Eof) => Ok(None),
        Err(ReadlineError::Interrupted) => Err(Error::Interrupted(String::new())),
        // A slip of the keyboard, or a paste from elsewhere, should not end an evening.
        Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
            terminal::say("what was typed is not UTF-8 text, and the line is dropped");
            Ok(Some(String::new()))
        }
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
    let mut input = std::io::stdin().lock().take(MAX_MESSAGE_BYTES as u64 + 1);
    let n_read = interrupt::while_waiting(|| (), || input.read_until(b'\n', &mut bytes));
    match n_read.map_err(Error::io(stdin))? {
        0 => return Ok(None),
        n_bytes if n_bytes > MAX_MESSAGE_BYTES => return Err(too_long()),
        _ => {}
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

    fn all(text: &str) -> Vec<Line> {
        let mut lines = text.lines();
        let mut read = || assemble(|_| Ok(lines.next().map(str::to_owned))).expect("nothing is too long");
        std::iter::from_fn(&mut read).collect()
    }

    #[test]
    fn a_message_has_the_lines_that_belong_to_it() {
        let message = |text: &str| Line::Message(text.into());
        for (text, lines) in [
            ("", vec![]),
            ("one\ntwo", vec![message("one"), message("two")]),
            ("one\\\ntwo\\\nthree\nfour", vec![message("one\ntwo\nthree"), message("four")]),
            ("one\\", vec![message("one")]),
            ("\"\"\"\none\n\n/clear\\\n\"\"\"\ntwo", vec![message("one\n\n/clear\\"), message("two")]),
            ("\"\"\"one\ntwo\"\"\" \nthree", vec![message("one\ntwo"), message("three")]),
            ("\"\"\"/exit\"\"\"", vec![message("/exit")]),
            ("\"\"\"one\ntwo", vec![message("one\ntwo")]),
            ("/clear\n /clear", vec![Line::Command(Command::Clear), message(" /clear")]),
            ("/system a\\\nb", vec![Line::Command(Command::System(Some("a\nb".into())))]),
        ] {
            assert_eq!(all(text), lines, "{text}");
        }
        assert!(matches!(all("/dance")[..], [Line::NoCommand(_)]));
    }

    #[test]
    fn a_message_has_an_end() {
        let line = format!("{}\\", "x".repeat(MAX_MESSAGE_BYTES / 4));
        let error = assemble(|_| Ok(Some(line.clone()))).expect_err("too long").to_string();
        assert!(error.contains("16 MiB"), "{error}");
    }
}
