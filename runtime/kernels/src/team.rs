//! The threads. A team's helpers live as long as it does: between two operations they spin briefly, then sleep. An
//! operation hands out chunks from a shared counter, the caller works too, and it returns when all chunks are done.
//! Nothing is allocated after [`Team::new`]. Which thread computes a chunk never changes a result.
//!
//! An operation is *open* while chunks may be left. A helper may enter only while it is open; the caller closes it
//! when the counter has run out and then waits for those inside, never for a helper that has not woken yet. So a
//! core that another program took costs its share of the work and no more.
//!
//! Plain threads and not rayon: `rayon::ThreadPool::broadcast` allocates at every call, and a worker that waits there
//! may run another job and so wait for itself.

mod gate;
mod pieces;
#[cfg(test)]
mod tests;

pub(crate) use pieces::SharedSlice;

use crate::Isa;
use gate::Gate;
use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Threads that work on one operation at a time, and the instruction set they use.
#[derive(Debug)]
pub struct Team {
    n_threads: usize,
    isa: Isa,
    gate: Arc<Gate>,
    /// Held during an operation: callers on different threads take turns.
    turn: Mutex<()>,
    helpers: Vec<JoinHandle<()>>,
}

thread_local! {
    /// Whether this thread is inside an operation's body; then a further operation runs on it alone.
    static WORKING: Cell<bool> = const { Cell::new(false) };
}

impl Team {
    /// A team of `n_threads`, the caller counted: 1 makes no thread.
    ///
    /// # Errors
    /// If the system refuses a thread; those that were made are gone again.
    ///
    /// # Panics
    /// If `n_threads` is 0 or beyond 65 536.
    pub fn new(n_threads: usize, isa: Isa) -> std::io::Result<Self> {
        assert!((1..=1 << 16).contains(&n_threads), "a team of {n_threads} threads");
        let gate = Arc::new(Gate::new());
        let mut team =
            Self { n_threads, isa, gate, turn: Mutex::new(()), helpers: Vec::with_capacity(n_threads - 1) };
        let (arrived, arrivals) = std::sync::mpsc::channel();
        for index in 1..n_threads {
            let (gate, arrived) = (Arc::clone(&team.gate), arrived.clone());
            let life = move || {
                // Nobody listens any more if a later thread was refused.
                let _ = arrived.send(());
                drop(arrived);
                gate.help();
            };
            team.helpers.push(std::thread::Builder::new().name(format!("llamita-{index}")).spawn(life)?);
        }
        // A thread allocates while it starts. On a busy machine that can take until after the first operations, which
        // do not wait for it: then they would seem to allocate.
        for _ in 1..n_threads {
            let _ = arrivals.recv();
        }
        Ok(team)
    }

    /// Threads, the caller counted.
    pub fn n_threads(&self) -> usize {
        self.n_threads
    }

    /// The instruction set of this team's operations.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Calls `body` with consecutive ranges that cover `0..n`, each at most `chunk` long, each once, on all threads.
    /// Towards the end they become shorter, so that the threads end together whatever each of them is worth. Inside a body, a further `for_each` (of any team) runs on its own thread alone.
    ///
    /// # Panics
    /// If `body` panicked on any thread: then the operation ends everywhere, and the team can be used again.
    pub fn for_each(&self, n: usize, chunk: usize, body: impl Fn(Range<usize>) + Sync) {
        let chunk = chunk.max(1);
        if self.n_threads == 1 || n <= chunk || WORKING.get() {
            let mut start = 0;
            while start < n {
                let end = n.min(start.saturating_add(chunk));
                body(start..end);
                start = end;
            }
            return;
        }
        let operation = Operation {
            body: &body,
            n,
            chunk,
            parts: LAST_PARTS * self.n_threads,
            next: AtomicUsize::new(0),
            panic: Mutex::new(None),
        };
        {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            self.gate.run(&operation);
        }
        if let Some(panic) = operation.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
    }

    /// Calls `body(i, piece)` with the consecutive pieces of `data`, each `piece_len` long (the last may be shorter).
    ///
    /// # Panics
    /// As [`for_each`](Self::for_each), and if `piece_len` is 0.
    pub fn for_each_piece<T: Send>(
        &self,
        data: &mut [T],
        piece_len: usize,
        body: impl Fn(usize, &mut [T]) + Sync,
    ) {
        assert!(piece_len > 0, "pieces of no length");
        let len = data.len();
        let shared = SharedSlice::new(data);
        self.for_each(len.div_ceil(piece_len), 1, |pieces| {
            for i in pieces {
                let range = i * piece_len..len.min((i + 1) * piece_len);
                // SAFETY: for_each hands out every index once, and different indices give ranges that do not overlap.
                body(i, unsafe { shared.slice(range) });
            }
        });
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.gate.stop();
        for helper in self.helpers.drain(..) {
            // A helper catches what a body throws, so it cannot have panicked; and a drop must not.
            let _ = helper.join();
        }
    }
}

/// Parts for each thread of what is left of an operation, of which a claim takes one: the last thread to end is late by
/// less than one of them.
const LAST_PARTS: usize = 4;

/// What the threads of a team share while they work.
struct Operation<'a> {
    body: &'a (dyn Fn(Range<usize>) + Sync),
    n: usize,
    chunk: usize,
    /// A claim takes at most one of so many parts of what is left.
    parts: usize,
    next: AtomicUsize,
    /// The first panic; the others that follow from it are dropped.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Operation<'_> {
    /// Claims chunks until there are none. Never unwinds.
    fn work(&self) {
        WORKING.set(true);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut start = self.next.load(Ordering::Relaxed);
            while start < self.n {
                let end = start + self.chunk.min((self.n - start).div_ceil(self.parts));
                // Relaxed: the counter orders nothing but itself; the gate orders the memory that bodies touch.
                match self.next.compare_exchange_weak(start, end, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        (self.body)(start..end);
                        start = self.next.load(Ordering::Relaxed);
                    }
                    Err(now) => start = now,
                }
            }
        }));
        WORKING.set(false);
        if let Err(panic) = result {
            self.next.store(self.n, Ordering::Relaxed);
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    }
}
