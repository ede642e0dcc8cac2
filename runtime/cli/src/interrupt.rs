//! Ctrl-C, SIGTERM and SIGHUP.
//!
//! The first signal raises a flag; work looks at it between tokens or row blocks, cleans up and returns. A second one
//! ends the process at once, for work that does not come back, save while a file is being written: then the second
//! only says that a third will leave the unfinished file behind. While a chat waits for a line nothing is at work, so
//! the first one ends it. An answer is stopped by Ctrl-C and the chat goes on; SIGTERM and SIGHUP mean the process, so
//! these are told apart.
//!
//! Where a signal is ignored already (`nohup`, a background job of a script), all stay as they were: such a process
//! is meant to survive them.
//!
//! SIGXFSZ, by which the system ends who writes beyond a limit on files (`ulimit -f`), is caught and forgotten: then the
//! write itself fails, and is told as any other that fails.

use crate::{error::Error, system, terminal};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

/// Signals since the last [`reset`].
static SIGNALS: AtomicU32 = AtomicU32::new(0);
/// Whether a file is being written.
static WRITING: AtomicBool = AtomicBool::new(false);
/// Whether one of them was no Ctrl-C.
static TERMINATED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// What to do before the process ends while it waits for input.
static WAITING: Mutex<Option<Box<dyn FnOnce() + Send>>> = Mutex::new(None);

const STATUS: i32 = 130;

/// Takes the signals over.
pub(crate) fn install() {
    // An error means that they are ignored, see above, or that no thread can be made; either way there is nothing
    // that a user could do about it.
    if ctrlc::try_set_handler(on_signal).is_ok() {
        // Without this flag such a signal counts as Ctrl-C.
        system::flag_termination(&TERMINATED);
    }
    system::survive_file_limits();
}

fn on_signal() {
    let waiting = WAITING.lock().map(|mut hook| hook.take()).unwrap_or_default();
    if let Some(restore) = waiting {
        restore();
        std::process::exit(STATUS);
    }
    match (SIGNALS.fetch_add(1, Ordering::Relaxed), WRITING.load(Ordering::Relaxed)) {
        (0, _) => {}
        (1, true) => {
            terminal::say("ending in order; once more ends at once and leaves the unfinished file behind")
        }
        _ => std::process::exit(STATUS),
    }
}

/// Whether work should stop.
pub(crate) fn requested() -> bool {
    SIGNALS.load(Ordering::Relaxed) > 0
}

/// Whether the process was told to end, not just its work.
pub(crate) fn terminated() -> bool {
    TERMINATED.load(Ordering::Relaxed)
}

/// An error if work should stop.
pub(crate) fn check() -> Result<(), Error> {
    if requested() { Err(Error::Interrupted(String::new())) } else { Ok(()) }
}

/// Forgets the signals that came: a chat goes on after an answer was stopped.
pub(crate) fn reset() {
    SIGNALS.store(0, Ordering::Relaxed);
}

/// A file will be written for the rest of this command.
pub(crate) fn file_is_written() {
    WRITING.store(true, Ordering::Relaxed);
}

/// Runs `wait`; a signal meanwhile runs `restore` and ends the process.
pub(crate) fn while_waiting<T>(restore: impl FnOnce() + Send + 'static, wait: impl FnOnce() -> T) -> T {
    let set = |hook| {
        if let Ok(mut waiting) = WAITING.lock() {
            *waiting = hook;
        }
    };
    set(Some(Box::new(restore)));
    let result = wait();
    set(None);
    result
}
