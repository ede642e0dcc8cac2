//! Memory is looked at while a file is made.

use crate::progress::Progress;
use crate::resident::status_bytes;
use quantize::{Cancelled, Monitor};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Time between two looks: what is held for less is missed.
const INTERVAL_MS: u64 = 10;

/// Passes on what it hears.
pub(super) struct Watch<'p> {
    progress: &'p Progress,
    start: Instant,
    /// When it was looked last, in milliseconds from the start.
    last_ms: AtomicU64,
    most_bytes: AtomicU64,
}

impl<'p> Watch<'p> {
    pub(super) fn new(progress: &'p Progress) -> Self {
        Self { progress, start: Instant::now(), last_ms: AtomicU64::new(0), most_bytes: AtomicU64::new(0) }
    }

    /// The most that was held without mapped files, as far as that was seen; `None` where the system does not tell.
    pub(super) fn most_bytes(&self) -> Option<u64> {
        self.look();
        Some(self.most_bytes.load(Ordering::Relaxed)).filter(|&most| most > 0)
    }

    fn look(&self) {
        self.most_bytes.fetch_max(status_bytes("RssAnon:").unwrap_or(0), Ordering::Relaxed);
    }
}

impl Monitor for Watch<'_> {
    fn start(&self, total: u64) {
        self.progress.start(total);
    }

    fn advance(&self, n: u64) -> Result<(), Cancelled> {
        let now_ms = self.start.elapsed().as_millis() as u64;
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        let is_time = now_ms >= last_ms + INTERVAL_MS;
        // One thread of those that come at the same time.
        let swap = |to| self.last_ms.compare_exchange(last_ms, to, Ordering::Relaxed, Ordering::Relaxed);
        if is_time && swap(now_ms).is_ok() {
            self.look();
        }
        self.progress.advance(n)
    }

    fn note(&self, text: &str) {
        self.progress.note(text);
    }
}
