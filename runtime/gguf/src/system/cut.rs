//! A mapped file that loses its end while it is used: reading what is gone raises SIGBUS, which kills a process without
//! a word. So does a disk that fails under a map.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static SENTENCE: OnceLock<&'static str> = OnceLock::new();

/// From now on such a read ends the process with status 1, once `sentence` was written to standard error. A second call
/// changes nothing.
pub fn explain_cut_files(sentence: &'static str) {
    if SENTENCE.set(sentence).is_ok() {
        let end = end as extern "C" fn(libc::c_int);
        // SAFETY: the handler is a function of the type that the system calls, and restricts itself to what is safe in the
        // middle of anything. It takes the place of the standard library's, which looks for overflows of the stack; those
        // raise SIGSEGV on Linux.
        unsafe { libc::signal(libc::SIGBUS, end as libc::sighandler_t) };
    }
}

/// Does not return to the read that failed: it would fail again.
extern "C" fn end(_: libc::c_int) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        let sentence = SENTENCE.get().copied().unwrap_or_default();
        // SAFETY: `write` reads as many bytes as there are, from a string that lives on; `_exit` takes any status.
        unsafe {
            libc::write(libc::STDERR_FILENO, sentence.as_ptr().cast(), sentence.len());
            libc::_exit(1);
        }
    }
    // Another thread is at it.
    loop {
        std::hint::spin_loop();
    }
}
