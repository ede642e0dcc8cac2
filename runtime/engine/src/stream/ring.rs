//! Pieces on their way from the disk: readers bring them in the order of the scan, a bounded number of bytes ahead of
//! the pass that uses them, over the end of a token into the next one.
//!
//! A slot stands for each piece that is being read or waits to be used. The readers' cursor skips pieces that are in
//! memory already. Whoever asks for another piece than the one that comes next empties the ring and sends the cursor
//! there: so nothing that the pass may do is wrong, and what it does always costs nothing.

use super::disk::{self, Disk};
use super::scan::Scan;
use super::tuner::Tuner;
use memmap2::{MmapMut, MmapOptions};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A piece in memory.
#[derive(Debug)]
pub(super) struct Loaded {
    pub map: MmapMut,
    /// Where in the map its bytes are: reads begin at the disk's multiples, not at the piece's.
    pub place: Range<usize>,
    /// The map is the piece's own, and no buffer of the ring.
    pub is_own: bool,
}

/// Bytes that a piece of `len` takes that stays.
pub(super) fn own_bytes(len: usize) -> usize {
    len.next_multiple_of(disk::PAGE_BYTES)
}

impl Loaded {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map[self.place.clone()]
    }

    /// A copy to stay: it takes no more pages than its bytes do.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(super) fn to_own(&self) -> io::Result<Self> {
        let bytes = self.bytes();
        let mut map = new_map(own_bytes(bytes.len()))?;
        map[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { map, place: 0..bytes.len(), is_own: true })
    }
}

/// Memory for `n_bytes`, given by the system page by page as it is written, and back as soon as it is dropped: an
/// allocator may keep it.
pub(super) fn new_map(n_bytes: usize) -> io::Result<MmapMut> {
    let map = MmapOptions::new().len(n_bytes).map_anon()?;
    // Huge pages would hold on to what neighbours give back.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::NoHugePage);
    Ok(map)
}

#[derive(Debug)]
enum Content {
    Reading,
    Ready(Loaded),
    Failed(io::Error),
}

#[derive(Debug)]
struct Slot {
    piece: usize,
    content: Content,
}

/// What the readers and the pass agree on.
#[derive(Debug)]
pub(super) struct State {
    /// In the order of the scan; the front is what the pass needs next.
    slots: VecDeque<Slot>,
    /// Number of the front slot since the ring was made: a reader finds its slot by its own number.
    front: u64,
    /// The piece that the pass is at.
    at: usize,
    /// How far the readers' cursor is ahead of it, in pieces, those in memory counted.
    lead: usize,
    /// Bytes in slots.
    slot_bytes: usize,
    /// Bytes that may be, and that may be usually.
    limit_bytes: usize,
    usual_limit_bytes: usize,
    /// Whether each piece is in memory for good.
    is_kept: Vec<bool>,
    /// So many pieces are to be kept, by rank.
    n_kept: usize,
    /// Buffers that wait for use, and how many of them may usually.
    free: Vec<MmapMut>,
    usual_free: usize,
    /// Bytes that were read.
    n_read_bytes: u64,
    /// Readers that are reading, and how many may.
    n_reading: usize,
    tuner: Tuner,
    is_over: bool,
}

impl State {
    fn cursor(&self) -> usize {
        (self.at + self.lead) % self.is_kept.len()
    }

    /// Whether a piece is to stay in memory once it is there.
    pub(super) fn wants(&self, scan: &Scan, piece: usize) -> bool {
        scan.keeps(piece, self.n_kept)
    }

    /// Whether the cursor has passed a piece that the pass has not reached yet.
    pub(super) fn is_passed(&self, piece: usize) -> bool {
        let n = self.is_kept.len();
        (piece + n - self.at) % n < self.lead
    }

    pub(super) fn set_kept(&mut self, piece: usize, is_kept: bool) {
        self.is_kept[piece] = is_kept;
    }

    pub(super) fn set_n_kept(&mut self, n_kept: usize) {
        self.n_kept = n_kept;
    }

    /// Lets readers be further ahead.
    pub(super) fn set_limit(&mut self, bytes: usize) {
        self.limit_bytes = bytes.max(self.usual_limit_bytes);
    }

    /// Lets them be as far ahead as usual.
    pub(super) fn reset_limit(&mut self) {
        self.limit_bytes = self.usual_limit_bytes;
        self.free.truncate(self.usual_free);
    }

    pub(super) fn n_read_bytes(&self) -> u64 {
        self.n_read_bytes
    }

    /// How many readers the disk wants, once it is known.
    pub(super) fn n_readers(&self) -> Option<usize> {
        self.tuner.settled()
    }

    /// The pass has come to a piece.
    pub(super) fn advance(&mut self, piece: usize) {
        let n = self.is_kept.len();
        let step = (piece + n - self.at) % n;
        // Otherwise it has gone back, to what it holds.
        if step <= self.lead {
            self.at = piece;
            self.lead -= step;
        }
    }

    /// Sends the cursor past what is in memory: the next piece to read, if the whole scan has not been gone through.
    fn next(&mut self) -> Option<usize> {
        let n = self.is_kept.len();
        while self.lead < n && self.is_kept[self.cursor()] {
            self.lead += 1;
        }
        (self.lead < n).then(|| self.cursor())
    }

    /// Forgets what is under way and goes on from a piece.
    fn seek(&mut self, piece: usize) {
        self.front += self.slots.len() as u64;
        while let Some(slot) = self.slots.pop_front() {
            if let Content::Ready(loaded) = slot.content {
                self.recycle(loaded);
            }
        }
        (self.at, self.lead, self.slot_bytes) = (piece, 0, 0);
    }

    /// Takes back the buffer of a piece that does not stay.
    pub(super) fn recycle(&mut self, loaded: Loaded) {
        // What is too much for the ring goes back to the system.
        let is_usual = self.limit_bytes == self.usual_limit_bytes;
        let max_free = if is_usual { self.usual_free } else { MAX_SLOTS };
        if !loaded.is_own && self.free.len() < max_free {
            self.free.push(loaded.map);
        }
    }
}

/// The ring, shared with its readers.
#[derive(Debug)]
pub(super) struct Ring {
    pub scan: Scan,
    pub disk: Box<dyn Disk>,
    /// Bytes of a buffer that any piece fits into.
    buffer_bytes: usize,
    state: Mutex<State>,
    /// Readers wait for room, the pass for a piece.
    has_room: Condvar,
    is_ready: Condvar,
}

/// Slots that there can be: what allocates nothing later. The limit in bytes is the one that counts.
const MAX_SLOTS: usize = 1024;

impl Ring {
    /// A ring that reads up to `limit_bytes` ahead, with as many readers as `tuner` says.
    pub(super) fn new(scan: Scan, disk: Box<dyn Disk>, limit_bytes: usize, tuner: Tuner) -> Self {
        let buffer_bytes = disk::buffer_bytes(&*disk, scan.max_len());
        let state = State {
            slots: VecDeque::with_capacity(MAX_SLOTS),
            front: 0,
            at: 0,
            lead: 0,
            slot_bytes: 0,
            limit_bytes,
            usual_limit_bytes: limit_bytes,
            is_kept: vec![false; scan.pieces.len()],
            n_kept: 0,
            free: Vec::with_capacity(MAX_SLOTS),
            usual_free: limit_bytes / buffer_bytes + 1,
            n_read_bytes: 0,
            n_reading: 0,
            tuner,
            is_over: false,
        };
        Self {
            scan,
            disk,
            buffer_bytes,
            state: Mutex::new(state),
            has_room: Condvar::new(),
            is_ready: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a reader that something has changed. If there is more to do than for one, it tells the next.
    pub(super) fn wake(&self) {
        self.has_room.notify_one();
    }

    /// Ends the readers.
    pub(super) fn close(&self) {
        self.lock().is_over = true;
        self.has_room.notify_all();
    }

    /// The piece, as soon as it is there.
    ///
    /// # Errors
    /// If it could not be read.
    pub(super) fn take(&self, piece: usize) -> io::Result<Loaded> {
        let mut state = self.lock();
        state.advance(piece);
        loop {
            match state.slots.front() {
                Some(slot) if slot.piece != piece => state.seek(piece),
                Some(Slot { content: Content::Reading, .. }) => {}
                Some(_) => break,
                None => {
                    if state.next() != Some(piece) {
                        state.seek(piece);
                    }
                }
            }
            self.wake();
            state = self.is_ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let slot = state.slots.pop_front();
        state.front += 1;
        state.slot_bytes -= self.scan.pieces[piece].len;
        // The next one can be read while this one is used.
        self.wake();
        match slot.map(|slot| slot.content) {
            Some(Content::Ready(loaded)) => Ok(loaded),
            Some(Content::Failed(error)) => Err(error),
            Some(Content::Reading) | None => unreachable!("the loop ends at a slot that is not being read"),
        }
    }

    /// A reader's life.
    pub(super) fn read_on(&self) {
        let mut state = self.lock();
        while !state.is_over {
            let next = if state.n_reading < state.tuner.n_readers() { state.next() } else { None };
            let has_room = |piece: &usize| {
                let after = state.slot_bytes + self.scan.pieces[*piece].len;
                state.slots.is_empty() || (after <= state.limit_bytes && state.slots.len() < MAX_SLOTS)
            };
            let Some(piece) = next.filter(has_room) else {
                if state.n_reading == 0 {
                    state.tuner.rest();
                }
                state = self.has_room.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let number = state.front + state.slots.len() as u64;
            let buffer = state.free.pop();
            state.slots.push_back(Slot { piece, content: Content::Reading });
            state.slot_bytes += self.scan.pieces[piece].len;
            state.lead += 1;
            state.n_reading += 1;
            if state.n_reading < state.tuner.n_readers() {
                self.wake();
            }
            drop(state);

            let content = self.load(piece, buffer);
            state = self.lock();
            state.n_reading -= 1;
            match &content {
                Content::Ready(loaded) => {
                    state.n_read_bytes += loaded.place.len() as u64;
                    state.tuner.end(loaded.place.len(), Instant::now());
                }
                _ => state.tuner.rest(),
            }
            let at = number.checked_sub(state.front).map(|at| at as usize);
            match at.and_then(|at| state.slots.get_mut(at)) {
                Some(slot) => slot.content = content,
                // Nobody waits for it any more.
                None => {
                    if let Content::Ready(loaded) = content {
                        state.recycle(loaded);
                    }
                }
            }
            self.is_ready.notify_all();
        }
    }

    fn load(&self, piece: usize, buffer: Option<MmapMut>) -> Content {
        let piece = &self.scan.pieces[piece];
        let read = || {
            let mut map = buffer.map_or_else(|| new_map(self.buffer_bytes), Ok)?;
            let place = disk::read(&*self.disk, &mut map, piece.offset, piece.len)?;
            Ok(Loaded { map, place, is_own: false })
        };
        read().map_or_else(Content::Failed, Content::Ready)
    }
}
