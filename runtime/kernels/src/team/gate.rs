//! Where helpers wait for an operation, and where the caller waits for helpers.

use super::Operation;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread spins before it sleeps. A token's operations follow each other within a few microseconds and
/// waking a sleeper costs about 50; spinning longer would take a core from a neighbour who has use for it.
const SPIN: Duration = Duration::from_micros(30);

/// Spins between two looks at the clock.
const SPINS_PER_LOOK: u32 = 32;

/// The state is one word, so that "open?" and "how many are inside?" cannot disagree:
/// the operation's number in the upper half, then these bits.
const NUMBER: u64 = 1 << 32;
const STOP: u64 = 1 << 31;
const OPEN: u64 = 1 << 30;
const INSIDE: u64 = OPEN - 1;

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    state: AtomicU64,
    /// The operation of the current number, with its lifetime erased. Written only while the gate is closed and
    /// nobody is inside; read only by those inside.
    operation: UnsafeCell<*const Operation<'static>>,
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    opened: Condvar,
    left: Condvar,
}

// SAFETY: the cell is written by the one caller that has the team's turn while the gate is closed and empty, and read
// by helpers that entered through `state` after that (SeqCst). The Operation behind it is Sync: see `run`.
unsafe impl Sync for Gate {}
// SAFETY: the pointer belongs to no thread.
unsafe impl Send for Gate {}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
            operation: UnsafeCell::new(std::ptr::null()),
            sleepers: AtomicUsize::new(0),
            lock: Mutex::new(()),
            opened: Condvar::new(),
            left: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the gate for an operation, works on it, and returns when nobody works on it any more.
    /// The caller has the team's turn.
    pub(super) fn run(&self, operation: &Operation<'_>) {
        // SAFETY: the gate is closed and empty (it was when the last `run` returned, and we have the turn), so nobody
        // reads the cell. The erased lifetime is long enough: this function does not return before all have left.
        unsafe { *self.operation.get() = std::ptr::from_ref(operation).cast() };
        let number = self.state.load(SeqCst) / NUMBER;
        self.state.store(((number.wrapping_add(1) & 0xFFFF_FFFF) * NUMBER) | OPEN, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            drop(self.lock());
            self.opened.notify_all();
        }
        operation.work();
        self.state.fetch_and(!OPEN, SeqCst);
        let empty = || self.state.load(SeqCst) & INSIDE == 0;
        if !spin_until(empty) {
            let mut guard = self.lock();
            while !empty() {
                guard = self.left.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// A helper's life.
    pub(super) fn help(&self) {
        let mut seen = 0;
        loop {
            let news = |state: u64| state & STOP != 0 || (state & OPEN != 0 && state / NUMBER != seen);
            if !spin_until(|| news(self.state.load(SeqCst))) {
                let mut guard = self.lock();
                // Announced before the last look: either this look sees the opening, or the opener sees a sleeper.
                self.sleepers.fetch_add(1, SeqCst);
                while !news(self.state.load(SeqCst)) {
                    guard = self.opened.wait(guard).unwrap_or_else(PoisonError::into_inner);
                }
                self.sleepers.fetch_sub(1, SeqCst);
            }
            let state = self.state.load(SeqCst);
            if state & STOP != 0 {
                return;
            }
            seen = state / NUMBER;
            let enter = |now: u64| (now & OPEN != 0 && now / NUMBER == seen).then_some(now + 1);
            if self.state.fetch_update(SeqCst, SeqCst, enter).is_err() {
                continue;
            }
            // SAFETY: we are inside, so the cell was written before the gate opened and is not written now; and the
            // operation lives, because `run` waits until we have left.
            unsafe { &**self.operation.get() }.work();
            let before = self.state.fetch_sub(1, SeqCst);
            if before & OPEN == 0 && before & INSIDE == 1 {
                drop(self.lock());
                self.left.notify_all();
            }
        }
    }

    /// Sends the helpers home. No operation is running: the team is being dropped.
    pub(super) fn stop(&self) {
        self.state.fetch_or(STOP, SeqCst);
        drop(self.lock());
        self.opened.notify_all();
    }
}

/// Spins until `done` or until [`SPIN`] has passed; whether it is done.
fn spin_until(done: impl Fn() -> bool) -> bool {
    if done() {
        return true;
    }
    let start = Instant::now();
    loop {
        for _ in 0..SPINS_PER_LOOK {
            std::hint::spin_loop();
            if done() {
                return true;
            }
        }
        if start.elapsed() > SPIN {
            return false;
        }
    }
}
