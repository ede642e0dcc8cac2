//! Linux, macOS and their kin.

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGTERM, SIGXFSZ};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Standard input as a file.
pub(crate) fn stdin() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

/// Puts the terminal back in the mode that it has now.
pub(crate) fn terminal_mode() -> impl FnOnce() + Send + 'static {
    let mode = tcgetattr(io::stdin()).ok();
    move || {
        if let Some(mode) = mode {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &mode);
        }
    }
}

/// Has the signals that mean the process, not just its work, raise a flag beside the handler that stands.
pub(crate) fn flag_termination(flag: &Arc<AtomicBool>) {
    for signal in [SIGTERM, SIGHUP] {
        let _ = signal_hook::flag::register(signal, Arc::clone(flag));
    }
}

/// Has a write beyond a limit on files fail, where the system would end the process.
pub(crate) fn survive_file_limits() {
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
}

/// Drops what the page cache has of a file. It is an advice.
///
/// # Errors
/// If the system refuses it, or knows no such thing.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn drop_cached(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// The same.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn drop_cached(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
