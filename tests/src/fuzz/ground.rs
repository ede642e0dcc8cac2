//! Which inputs led somewhere new.
//!
//! Nightly's fuzzers have the compiler's own hooks. Stable Rust has coverage for tests, and its counters lie in a section
//! of the program that can be read while it runs: that is all that is needed. They are read and set to zero after
//! each input.

#[cfg(coverage)]
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[cfg(not(coverage))]
use std::collections::HashSet;

/// What has been seen.
#[derive(Debug, Default)]
pub(super) struct Ground {
    /// Kinds of sentences. Not beside counters: a sentence repeats what stands in the file, so that rubbish of a thousand
    /// kinds was news, and after 90 000 inputs of a target there were 13 000 to go on from.
    #[cfg(not(coverage))]
    told: HashSet<String>,
    /// For each counter, which magnitudes it has had: a bit each.
    #[cfg(coverage)]
    reached: Vec<u8>,
}

impl Ground {
    /// Whether the execution that just ended, and told this, led somewhere new.
    #[cfg(not(coverage))]
    pub(super) fn is_new(&mut self, told: &str) -> bool {
        !self.told.contains(told) && self.told.insert(told.to_owned())
    }

    /// The same, by the counters.
    #[cfg(coverage)]
    pub(super) fn is_new(&mut self, _told: &str) -> bool {
        let counters = counters();
        self.reached.resize(counters.len(), 0);
        let mut new = false;
        for (counter, reached) in counters.iter().zip(&mut self.reached) {
            let n = counter.load(Relaxed);
            if n == 0 {
                continue;
            }
            counter.store(0, Relaxed);
            // 1, 2, 3, up to 7, 15, 31, 127, and more: a loop that runs ten times more is news, once more is none.
            let magnitude = match n {
                1..=3 => n as u32 - 1,
                4..=31 => n.ilog2() + 1,
                32..=127 => 6,
                _ => 7,
            };
            new |= *reached & 1 << magnitude == 0;
            *reached |= 1 << magnitude;
        }
        new
    }
}

/// The counters of `-Cinstrument-coverage`, in the whole program.
#[cfg(coverage)]
fn counters() -> &'static [AtomicU64] {
    // The linker names the ends of a section whose name is an identifier.
    unsafe extern "C" {
        #[link_name = "__start___llvm_prf_cnts"]
        static START: AtomicU64;
        #[link_name = "__stop___llvm_prf_cnts"]
        static STOP: AtomicU64;
    }
    let (start, stop) = (&raw const START, &raw const STOP);
    // SAFETY: the linker guarantees that the section lies between the two, and the compiler that it is of u64s that live
    // as long as the program. They are written by plain additions beside our atomic ones: a count may be lost, and none
    // is trusted for more than a hint.
    unsafe { std::slice::from_raw_parts(start, stop.offset_from_unsigned(start)) }
}
