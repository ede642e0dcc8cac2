//! How many readers a disk wants, found out while it is read: nothing is read for the sake of it.
//!
//! Disks differ in what they do with several reads at once. A card or a limit on bytes gives the same to one as to
//! eight; a disk behind a network waits for a millisecond or more each time, and gives to eight many times what it gives
//! to one; heads that move give less. So a stream begins with two, and then tries other counts by turns. Only times count
//! in which the disk had something to do all along. Where each read waited for 5 ms more than here, a model of 2 GB with
//! 0.7 of memory made 0.39 tokens a second instead of 0.18, where it waited for 20, 0.24 instead of 0.065.
//!
//! The size of a read is not tried: 1 MiB. Where a disk waits, more readers do what larger reads would, without larger
//! buffers. Smaller ones lose where a limit counts reads: of 500 a second, reads of 256 KiB made 130 MB/s, of 1 MiB 260 to
//! 540, of 4 MiB, which the system splits, 270 to 300. On a virtual disk without a limit (600 to 1200 MB/s from one minute
//! to the next) and with one of 400 MB/s, one to eight readers of 256 KiB to 4 MiB were all alike.

use std::time::{Duration, Instant};

/// Counts that are tried.
const COUNTS: [usize; 4] = [2, 1, 4, 8];

/// Readers that there can be.
pub(super) const MAX_READERS: usize = 8;

/// Each is tried so often; the middle rate counts.
const N_ROUNDS: usize = 3;

/// For so long, and so many reads, at least: limits on reads give what they give in slices of 20 ms.
const TIME: Duration = Duration::from_millis(50);
const N_READS: usize = 8;

/// What is not faster by this than the first count is not worth it.
const WORTH: f64 = 1.1;

/// What has been tried.
#[derive(Debug)]
pub(super) struct Tuner {
    n_readers: usize,
    /// By count and round: bytes a second.
    rates: [[f64; N_ROUNDS]; COUNTS.len()],
    /// Tries that are done; each round tries each count.
    n_done: usize,
    /// Reads that began before the try did.
    n_before: usize,
    window: Option<Window>,
}

/// The time between the ends of two reads, and what was read in it.
#[derive(Debug)]
struct Window {
    start: Instant,
    n_reads: usize,
    n_bytes: u64,
}

impl Tuner {
    /// `n_readers` are told where nothing is to be tried.
    pub(super) fn new(n_readers: Option<usize>) -> Self {
        let n_done = if n_readers.is_some() { COUNTS.len() * N_ROUNDS } else { 0 };
        let n_readers = n_readers.unwrap_or(COUNTS[0]);
        Self { n_readers, rates: Default::default(), n_done, n_before: n_readers, window: None }
    }

    /// How many may read at once.
    pub(super) fn n_readers(&self) -> usize {
        self.n_readers
    }

    /// The same, once that stays so.
    pub(super) fn settled(&self) -> Option<usize> {
        self.is_settled().then_some(self.n_readers)
    }

    fn is_settled(&self) -> bool {
        self.n_done == COUNTS.len() * N_ROUNDS
    }

    /// The disk had nothing to do for a while: what was measured does not count.
    pub(super) fn rest(&mut self) {
        (self.n_before, self.window) = (self.n_readers, None);
    }

    /// A read of so many bytes has ended.
    pub(super) fn end(&mut self, n_bytes: usize, now: Instant) {
        if self.is_settled() {
            return;
        }
        if self.n_before > 0 {
            self.n_before -= 1;
            return;
        }
        let Some(window) = &mut self.window else {
            self.window = Some(Window { start: now, n_reads: 0, n_bytes: 0 });
            return;
        };
        window.n_reads += 1;
        window.n_bytes += n_bytes as u64;
        let time = now - window.start;
        if window.n_reads < N_READS || time < TIME {
            return;
        }
        let rate = window.n_bytes as f64 / time.as_secs_f64();
        self.rates[self.n_done % COUNTS.len()][self.n_done / COUNTS.len()] = rate;
        self.n_done += 1;
        self.n_readers = if self.is_settled() { self.best() } else { COUNTS[self.n_done % COUNTS.len()] };
        self.rest();
    }

    fn best(&mut self) -> usize {
        let rates = self.rates.each_mut().map(|rates| {
            rates.sort_unstable_by(f64::total_cmp);
            rates[N_ROUNDS / 2]
        });
        let fastest = (1..COUNTS.len()).fold(0, |best, at| if rates[at] > rates[best] { at } else { best });
        // Of counts that are about as fast, the first one.
        let enough = (0..COUNTS.len()).find(|&at| rates[fastest] < WORTH * rates[at]);
        COUNTS[enough.unwrap_or(fastest)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// What a tuner settles on for a disk that gives MiB a second by the number of readers; `slow` makes some of its
    /// reads slower. How many reads that took.
    fn settle(rate: impl Fn(usize) -> f64, slow: impl Fn(usize) -> f64) -> (usize, usize) {
        let (mut tuner, mut now) = (Tuner::new(None), Instant::now());
        for read in 0.. {
            if let Some(n_readers) = tuner.settled() {
                return (n_readers, read);
            }
            now += Duration::from_secs_f64(slow(read) / rate(tuner.n_readers()));
            tuner.end(MIB, now);
        }
        unreachable!("reads have no end")
    }

    #[test]
    fn a_disk_gets_the_readers_that_it_wants() {
        type Rate = fn(usize) -> f64;
        let table: &[(&str, Rate, usize)] = &[
            ("all the same", |_| 400.0, 2),
            ("a slow one", |_| 20.0, 2),
            ("a fast one", |_| 6000.0, 2),
            ("each waits for 5 ms", |n| 200.0 * n as f64, 8),
            ("four are enough", |n| 500.0 * n.min(4) as f64, 4),
            ("one is too few", |n| 500.0 * n.min(2) as f64, 2),
            ("a head that moves", |n| 150.0 / n as f64, 1),
            ("a little faster with more", |n| 1000.0 + 10.0 * n as f64, 2),
        ];
        for (name, rate, expected) in table {
            let (n_readers, n_reads) = settle(rate, |_| 1.0);
            assert_eq!(n_readers, *expected, "{name}");
            // About 50 ms for each try.
            assert!(n_reads < 12 * (20 + (rate(8).max(rate(1)) * 0.06) as usize), "{name}: {n_reads}");
        }
        let (n_readers, _) = settle(|n| 500.0 * n.min(4) as f64, |read| if read < 200 { 9.0 } else { 1.0 });
        assert_eq!(n_readers, 4, "the first tries were slow");
    }

    #[test]
    fn what_was_measured_while_the_disk_rested_does_not_count() {
        let (mut tuner, start) = (Tuner::new(None), Instant::now());
        for read in 1..1000 {
            tuner.end(MIB, start + Duration::from_millis(10 * read));
            if read % 5 == 0 {
                tuner.rest();
            }
        }
        assert_eq!((tuner.n_readers(), tuner.settled()), (2, None));
        assert_eq!(Tuner::new(Some(3)).settled(), Some(3));
    }
}
