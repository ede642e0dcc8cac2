//! Panics: no user should meet one, and one who does should read a sentence instead of a backtrace.
//!
//! The hook only reports. The process goes on unwinding, so that an unfinished output file is removed, and ends with
//! status 1 in [`guard`].

use crate::{error::Error, terminal};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::sync::atomic::{AtomicBool, Ordering};

/// Replaces the default report. Only the first panic is told: others follow from it when threads wait for each other.
pub(crate) fn install_hook() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    set_hook(Box::new(|info| {
        if !TOLD.swap(true, Ordering::Relaxed) {
            terminal::say(&sentence(info));
        }
    }));
}

fn sentence(info: &PanicHookInfo<'_>) -> String {
    let what = info.payload_as_str().unwrap_or("it gave no reason");
    let place =
        info.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    format!(
        "this is a fault of llamita {} itself{place}: {what}; please report this line and the call that led to it",
        env!("CARGO_PKG_VERSION")
    )
}

/// Runs a command; a panic in it becomes an error.
pub(crate) fn guard(command: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    // Nothing that the command touched is used afterwards.
    catch_unwind(AssertUnwindSafe(command)).unwrap_or(Err(Error::Fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_status_1() {
        let result = guard(|| panic!("out of cheese"));
        assert!(matches!(result, Err(Error::Fault)));
        assert_eq!(Error::Fault.exit_status(), 1);
    }
}
