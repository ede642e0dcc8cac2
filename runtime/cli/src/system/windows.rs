//! Windows, by the standard library alone.

use std::fs::File;
use std::io;
use std::os::windows::io::AsHandle as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Standard input as a file.
pub(crate) fn stdin() -> io::Result<File> {
    io::stdin().as_handle().try_clone_to_owned().map(File::from)
}

/// Nothing to put back: a console forgets with the program.
pub(crate) fn terminal_mode() -> impl FnOnce() + Send + 'static {
    || ()
}

/// Ctrl-C is all that there is.
pub(crate) fn flag_termination(_: &Arc<AtomicBool>) {}

/// There are none.
pub(crate) fn survive_file_limits() {}

/// The system knows no such thing.
pub(crate) fn drop_cached(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
