//! A mapped file that loses its end while it is used: reading what is gone raises SIGBUS, which would kill the process
//! without a word. So would a disk that fails under a map.
//!
//! The signal's handler only writes a byte to a pipe. The read that raised it is tried again and again meanwhile, until
//! the thread at the pipe's other end has said what happened and ends the process.

use crate::terminal;
use signal_hook::consts::SIGBUS;
use signal_hook::low_level;
use std::io::Read as _;
use std::os::unix::net::UnixStream;

/// Takes the signal over. Where that cannot be done it kills, as it would have.
pub(crate) fn install() {
    let Ok((mut told, tells)) = UnixStream::pair() else { return };
    let wait = move || {
        if told.read_exact(&mut [0]).is_ok() {
            terminal::say(
                "a file ended while it was in use, before bytes that its header tells of: it was cut or written anew in \
                 its place, or its disk is failing; start again once it is whole",
            );
            low_level::exit(1);
        }
    };
    if std::thread::Builder::new().name("llamita-cut-file".to_owned()).spawn(wait).is_ok() {
        let _ = low_level::pipe::register(SIGBUS, tells);
    }
}
