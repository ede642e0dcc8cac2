//! Loops for the processor that is there.
//!
//! The searches are plain code, and they give the same bits however they are compiled: nothing fuses a product with a
//! sum, nothing reorders one. So the level is detected here and handed to nobody.

use kernels::Isa;
use std::sync::LazyLock;

static LEVEL: LazyLock<Isa> = LazyLock::new(Isa::detect);

#[cfg(test)]
thread_local! {
    /// What a test puts in its place.
    pub(super) static FORCED: std::cell::Cell<Option<Isa>> = const { std::cell::Cell::new(None) };
}

/// Runs `body`, and what it calls of `#[inline(always)]`, compiled for this processor.
#[inline(always)]
pub(crate) fn run<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(test)]
    let level = FORCED.get().unwrap_or(*LEVEL);
    #[cfg(not(test))]
    let level = *LEVEL;
    level.run_narrow(body)
}
