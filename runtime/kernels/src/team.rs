//! The threads. A team's helpers live as long as it does: between two operations they spin briefly, then sleep. An
//! operation hands out chunks from a shared counter, the caller works too, and it returns when all chunks are done.
//! Nothing is allocated after [`Team::new`]. Which thread computes a chunk never changes a result.

use crate::Isa;
use std::ops::Range;

/// Threads that work on one operation at a time, and the instruction set they use.
#[derive(Debug)]
pub struct Team {
    n_threads: usize,
    isa: Isa,
}

impl Team {
    /// A team of `n_threads`, the caller counted: 1 makes no thread.
    pub fn new(n_threads: usize, isa: Isa) -> std::io::Result<Self> {
        Ok(Self { n_threads, isa })
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
    ///
    /// # Panics
    /// If `body` panicked on any thread: then the operation ends everywhere, and the team can be used again.
    pub fn for_each(&self, n: usize, chunk: usize, body: impl Fn(Range<usize>) + Sync) {
        let _ = (n, chunk, body);
        todo!()
    }

    /// Calls `body(i, piece)` with the consecutive pieces of `data`, each `piece_len` long (the last may be shorter).
    pub fn for_each_piece<T: Send>(
        &self,
        data: &mut [T],
        piece_len: usize,
        body: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let _ = (data, piece_len, body);
        todo!()
    }
}
