//! Where a text comes from: the command line, a file, or standard input.

use crate::error::Error;
use crate::system;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// What is read of a pipe or a device at most, which may have no end. It is more than any context holds; a longer text,
/// for `perplexity` perhaps, comes as a file, whose size is known.
const MAX_STREAM_BYTES: u64 = 16 << 20;

/// The text of a file; `-` is standard input.
///
/// # Errors
/// If it cannot be read, has no end, or is not UTF-8: then the sentence names the byte.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    let (file, path) = if path == Path::new("-") {
        let name = Path::new("standard input");
        (system::stdin().map_err(Error::io(name))?, name)
    } else {
        (File::open(path).map_err(Error::io(path))?, path)
    };
    String::from_utf8(read_all(&file, path)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::Failed(format!(
            "{}: at byte {at}: this is not UTF-8 text; convert it first, with iconv for example",
            path.display()
        ))
    })
}

fn read_all(mut file: &File, path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    if file.metadata().map_err(Error::io(path))?.is_file() {
        file.read_to_end(&mut bytes).map_err(Error::io(path))?;
        return Ok(bytes);
    }
    // All of it at once: pages that nothing is written to take no memory, and growing would take it twice.
    bytes.reserve_exact(MAX_STREAM_BYTES as usize + 1);
    file.take(MAX_STREAM_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if bytes.len() as u64 > MAX_STREAM_BYTES {
        return Err(Error::Failed(format!(
            "{}: a text from a pipe or a device may have {} MiB; a longer one must come as a file",
            path.display(),
            MAX_STREAM_BYTES >> 20
        )));
    }
    Ok(bytes)
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
