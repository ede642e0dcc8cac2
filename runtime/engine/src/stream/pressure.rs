//! What other programs come to need, kept weights give them, and take it back when it is left again.
//!
//! What may still be taken is sampled all the time (see [`MemoryWatch`](crate::machine::MemoryWatch)), and a reserve of it
//! is kept free: a neighbour grows into that, and meanwhile weights are given back, so that nobody meets a limit, is
//! swapped or killed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two samples, of some hundred microseconds at most. A neighbour that takes 200 MiB a second takes 5 meanwhile.
pub(crate) const INTERVAL: Duration = Duration::from_millis(25);

/// No new sample.
const NONE: u64 = u64::MAX;

/// A thread that samples, and what it last found.
#[derive(Debug)]
pub(super) struct Pressure {
    shared: Arc<Shared>,
    sampler: Option<JoinHandle<()>>,
    /// What should be left to others.
    reserve_bytes: u64,
    /// What they were given.
    given_bytes: u64,
    /// The next sample may have been taken before the last change had its effect.
    is_early: bool,
}

#[derive(Debug)]
struct Shared {
    sample: AtomicU64,
    is_over: Mutex<bool>,
    over: Condvar,
}

impl Pressure {
    /// Samples `available` bytes, of which `reserve_bytes` are to stay free.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn new(
        reserve_bytes: u64,
        interval: Duration,
        mut available: impl FnMut() -> u64 + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            sample: AtomicU64::new(NONE),
            is_over: Mutex::new(false),
            over: Condvar::new(),
        });
        let own = Arc::clone(&shared);
        let sampler = std::thread::Builder::new().name("llamita-memory".to_owned()).spawn(move || {
            let mut is_over = own.is_over.lock().unwrap_or_else(PoisonError::into_inner);
            while !*is_over {
                own.sample.store(available(), Ordering::Relaxed);
                let waited = own.over.wait_timeout(is_over, interval);
                is_over = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        })?;
        Ok(Self { shared, sampler: Some(sampler), reserve_bytes, given_bytes: 0, is_early: false })
    }

    /// Looks at the newest sample, if there is one: whether what was given has changed. `pending_bytes` are about to be
    /// taken, `most_bytes` could be given.
    pub(super) fn has_changed(&mut self, pending_bytes: u64, most_bytes: u64, may_take: bool) -> bool {
        let sample = self.shared.sample.swap(NONE, Ordering::Relaxed);
        if sample == NONE || std::mem::take(&mut self.is_early) {
            return false;
        }
        let left = sample.saturating_sub(pending_bytes);
        let before = self.given_bytes;
        // Between these nothing is done: other programs breathe.
        if left < self.reserve_bytes / 8 * 5 {
            self.given_bytes = (before + self.reserve_bytes - left).min(most_bytes.max(before));
        } else if left > self.reserve_bytes / 2 * 3 && may_take {
            self.given_bytes = before - before.min(left - self.reserve_bytes);
        }
        self.is_early = self.given_bytes != before;
        self.is_early
    }

    /// What others were given of what could be kept.
    pub(super) fn given_bytes(&self) -> u64 {
        self.given_bytes
    }
}

impl Drop for Pressure {
    fn drop(&mut self) {
        *self.shared.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.over.notify_all();
        if let Some(sampler) = self.sampler.take() {
            // It holds nothing that a panic could have spoiled; and a drop must not panic.
            let _ = sampler.join();
        }
    }
}
