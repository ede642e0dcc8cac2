//! Small files, read whole and never beyond a limit.

use crate::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// All of a regular file of at most `max_bytes`, which has at least one.
pub(crate) fn read_small(path: &Path, max_bytes: u64) -> Result<Vec<u8>, Error> {
    // Before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(Error::io(path))?.is_file() {
        return Err(Error::unfit(path, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    match bytes.len() as u64 {
        0 => Err(Error::unfit(path, "the file is empty; download it again")),
        n if n > max_bytes => Err(Error::unfit(
            path,
            format_args!("it has more than {max_bytes} bytes, which no file of its kind has"),
        )),
        _ => Ok(bytes),
    }
}
