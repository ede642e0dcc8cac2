//! The two streams: standard output carries what was asked for, standard error everything that is said about it.

use crate::error::Error;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::Path;

/// Writes to standard output and flushes: text should be seen as it is made.
///
/// # Errors
/// [`Error::OutputClosed`] where the reader has gone, else what the system says.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Error::OutputClosed,
        _ => Error::io(Path::new("standard output"))(error),
    })
}

/// Writes text that a model made. Where a person would see it, control characters are shown, not obeyed: a file
/// from a stranger should not steer a terminal.
pub(crate) fn print_generated(text: &str) -> Result<(), Error> {
    if std::io::stdout().is_terminal() { print(&escape(text, &['\n', '\t'])) } else { print(text) }
}

/// Writes a value as JSON, for programs.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Failed(error.to_string()))?;
    print(&format!("{text}\n"))
}

/// One line on standard error.
pub(crate) fn say(text: &str) {
    // Where standard error is closed there is nobody to tell it.
    let _ = writeln!(std::io::stderr(), "llamita: {}", visible(text));
}

/// Lines on standard error that are read together: a table. What may hold anything in them must be [`visible`].
pub(crate) fn show(lines: &str) {
    let _ = std::io::stderr().write_all(lines.as_bytes());
}

/// A text on one line, with control characters (file names may hold any) shown as escapes.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escape(text, &[])
}

fn escape<'t>(text: &'t str, keep: &[char]) -> Cow<'t, str> {
    let hidden = |c: char| (c.is_control() && !keep.contains(&c)) || turns_text(c);
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) {
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// The line separators and bidirectional controls: they make a text look like another.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        for (text, shown) in [
            ("a plain name – with é", "a plain name – with é"),
            ("two\nlines\t", "two\\nlines\\t"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("c1 \u{9b}", "c1 \\u{9b}"),
            ("gnp.\u{202e}exe", "gnp.\\u{202e}exe"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(escape("two\nlines\r", &['\n']), "two\nlines\\r");
    }
}
