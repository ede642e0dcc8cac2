//! Where a text comes from: the command line, a file, or standard input.

use crate::error::Error;
use std::io::Read as _;
use std::path::Path;

/// The text of a file; `-` is standard input.
///
/// # Errors
/// If it cannot be read, or is not UTF-8: then the sentence names the byte.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let shown = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(Error::io(Path::new("standard input")))?;
        "standard input".into()
    } else {
        bytes = std::fs::read(path).map_err(Error::io(path))?;
        path.display().to_string()
    };
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::Failed(format!(
            "{shown}: at byte {at}: this is not UTF-8 text; convert it first, with iconv for example"
        ))
    })
}

/// The same without the line end that editors and `echo` put last.
pub(crate) fn read_prompt(path: &Path) -> Result<String, Error> {
    let mut text = read_text(path)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
