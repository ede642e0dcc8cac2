//! Weights that do not fit into memory: as many as do stay there, and the rest comes past from the disk, once a pass.
//!
//! A dense model reads all its weights for every token, in a circle. What a cache of pages keeps of a circle that is
//! longer than itself is nothing. Here a part of the pieces is kept for good, spread evenly over the pass ([`scan`]);
//! the others are read ahead of their use into a few buffers, past the page cache ([`disk`]), by threads that never
//! wait for a token to end ([`ring`]), as many at once as the disk turns out to want ([`tuner`]). What other programs
//! come to need, kept pieces give way to ([`pressure`]). A pass then takes the longer of its arithmetic and its reads,
//! and it reads what does not fit and no more.
//!
//! The same bytes meet the same kernels, rows by rows, so results are those of a mapped file to the last bit. Nothing is
//! loaded beforehand: the first pass keeps what passes by and is to stay.

mod disk;
mod options;
mod pressure;
mod ring;
mod scan;
#[cfg(test)]
mod tests;
mod tuner;

use crate::weights::Norm;
use crate::{Error, Matrix, Model};
pub(crate) use disk::Disk;
use disk::DiskFile;
use kernels::Rows;
use memmap2::MmapMut;
pub(crate) use options::StreamOptions;
pub(crate) use pressure::INTERVAL;
use pressure::Pressure;
use ring::{Loaded, Ring};
use scan::Scan;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tuner::{MAX_READERS, Tuner};

/// A reader's: it calls the system, and little else.
const STACK_BYTES: usize = 256 << 10;

/// A model's weights on their way.
#[derive(Debug)]
pub(crate) struct Stream<'m> {
    model: &'m Model,
    ring: Arc<Ring>,
    readers: Vec<JoinHandle<()>>,
    /// By piece: those that stay.
    kept: Vec<Option<Loaded>>,
    /// Bytes of maps of those.
    kept_bytes: u64,
    /// Bytes that may be kept, if others do not need them.
    target_bytes: u64,
    pressure: Option<Pressure>,
    /// Pieces that stay only until their layer ends.
    held: Vec<usize>,
    is_holding: bool,
    current: Option<Current>,
    /// Vectors, by their tensor's place; nothing for matrices.
    vectors: Vec<Box<[f32]>>,
    /// A row of the embedding.
    row: MmapMut,
}

/// The piece in use.
#[derive(Debug)]
enum Current {
    Kept(usize),
    Passing(usize, Loaded),
}

impl<'m> Stream<'m> {
    /// Opens the model's file for reading, reads its vectors, and starts the readers.
    ///
    /// # Errors
    /// If the file cannot be read, or the system gives no threads.
    pub(crate) fn new(model: &'m Model, options: StreamOptions) -> Result<Self, Error> {
        let disk = DiskFile::open(model.file());
        let disk = disk.map_err(|why| Error::read(model.file(), "it cannot be opened for reading", why))?;
        Self::from_disk(model, options, Box::new(disk))
    }

    /// The same from any disk.
    pub(crate) fn from_disk(
        model: &'m Model,
        options: StreamOptions,
        disk: Box<dyn Disk>,
    ) -> Result<Self, Error> {
        let tensors = model.file().tensors();
        let mut vectors = vec![Box::default(); tensors.len()];
        for norm in model.weights().vectors() {
            let tensor = &tensors[norm.tensor];
            let (offset, len) = (tensor.offset, tensor.n_bytes as usize);
            let mut map = failed(model, offset, len, ring::new_map(disk::buffer_bytes(&*disk, len)))?;
            let place = failed(model, offset, len, disk::read(&*disk, &mut map, offset, len))?;
            let (numbers, _) = map[place].as_chunks::<4>();
            vectors[norm.tensor] = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        }
        let embedding = &tensors[model.weights().token_embd.tensor];
        let row_bytes = embedding.n_bytes as usize / model.weights().token_embd.n_rows;
        let row = ring::new_map(disk::buffer_bytes(&*disk, row_bytes));
        let row = failed(model, embedding.offset, row_bytes, row)?;

        let scan = Scan::new(model, options.piece_bytes, ring::own_bytes);
        let kept = std::iter::repeat_with(|| None).take(scan.pieces.len()).collect();
        let ring = Arc::new(Ring::new(scan, disk, options.ahead_bytes, Tuner::new(options.n_readers)));
        let mut stream = Self {
            model,
            ring,
            readers: Vec::new(),
            kept,
            kept_bytes: 0,
            target_bytes: 0,
            pressure: None,
            held: Vec::new(),
            is_holding: false,
            current: None,
            vectors,
            row,
        };
        let n_readers = options.n_readers.unwrap_or(MAX_READERS);
        for index in 0..n_readers {
            let ring = Arc::clone(&stream.ring);
            let reader = std::thread::Builder::new().name(format!("llamita-read-{index}"));
            let reader = reader.stack_size(STACK_BYTES).spawn(move || ring.read_on());
            let reader = reader.map_err(|why| {
                Error::Request(format!("cannot start {n_readers} threads that read weights: {why}"))
            })?;
            stream.readers.push(reader);
        }
        Ok(stream)
    }

    /// The model.
    pub(crate) fn model(&self) -> &'m Model {
        self.model
    }

    /// Whether the file is still the one that was opened.
    ///
    /// # Errors
    /// If somebody has written to it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.ring.disk.is_unchanged() {
            return Ok(());
        }
        Err(Error::model(
            self.model.file(),
            "it was written to while it was in use: start again once it is whole",
        ))
    }

    /// Keeps at most so many bytes of weights from now on. What is too much is given back at once, what is missing is
    /// kept when it next passes by.
    pub(crate) fn keep(&mut self, bytes: u64) {
        self.target_bytes = bytes;
        self.trim();
    }

    /// Gives kept weights to other programs from now on, so that `reserve_bytes` of what is `available` stay free.
    ///
    /// # Errors
    /// If the system gives no thread to watch it.
    pub(crate) fn give_way(
        &mut self,
        reserve_bytes: u64,
        interval: Duration,
        available: impl FnMut() -> u64 + Send + 'static,
    ) -> Result<(), Error> {
        let pressure = Pressure::new(reserve_bytes, interval, available);
        let pressure = pressure
            .map_err(|why| Error::Request(format!("cannot start a thread that watches the memory: {why}")))?;
        self.pressure = Some(pressure);
        Ok(())
    }

    /// Bytes that may be kept now.
    fn allowed_bytes(&self) -> u64 {
        self.target_bytes.saturating_sub(self.pressure.as_ref().map_or(0, Pressure::given_bytes))
    }

    /// Looks whether other programs need more, or less.
    fn heed_pressure(&mut self) {
        let pending_bytes = self.allowed_bytes().saturating_sub(self.kept_bytes);
        let (most_bytes, may_take) = (self.target_bytes, !self.is_holding);
        let Some(pressure) = &mut self.pressure else { return };
        if pressure.has_changed(pending_bytes, most_bytes, may_take) {
            self.trim();
        }
    }

    /// Drops kept pieces that are too many, and tells the readers which ones they should bring to stay.
    fn trim(&mut self) {
        let scan = &self.ring.scan;
        let n_kept = scan.n_kept(self.allowed_bytes());
        let mut state = self.ring.lock();
        state.set_n_kept(n_kept);
        for &piece in scan.ranked(n_kept..scan.pieces.len()) {
            // The readers have gone past those that come next, in the belief that they are there.
            if !state.is_passed(piece)
                && let Some(loaded) = self.kept[piece].take_if(|loaded| loaded.is_own)
            {
                self.kept_bytes -= loaded.map.len() as u64;
                state.set_kept(piece, false);
            }
        }
    }

    /// From now on what a layer has had read stays until the layer ends, so that many batches can go through it; and the
    /// readers may be so many bytes ahead: long before the last batch is through, they have the next layer.
    pub(crate) fn hold(&mut self, ahead_bytes: u64) {
        self.is_holding = true;
        self.ring.lock().set_limit(ahead_bytes as usize);
        self.ring.wake();
    }

    /// Ends that.
    pub(crate) fn release(&mut self) {
        self.end_layer();
        self.is_holding = false;
        self.ring.lock().reset_limit();
    }

    /// Gives back what was held for a layer.
    pub(crate) fn end_layer(&mut self) {
        if !self.is_holding {
            return;
        }
        self.leave();
        let mut state = self.ring.lock();
        for piece in self.held.drain(..) {
            if let Some(loaded) = self.kept[piece].take() {
                self.kept_bytes -= loaded.map.len() as u64;
                state.set_kept(piece, false);
                state.recycle(loaded);
            }
        }
    }

    /// Bytes of pieces that were read since the stream was made.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.ring.lock().n_read_bytes()
    }

    /// How many readers the disk wants, once it is known.
    pub(crate) fn n_readers(&self) -> Option<usize> {
        self.ring.lock().n_readers()
    }

    /// A vector.
    pub(crate) fn vector(&self, norm: Norm) -> &[f32] {
        &self.vectors[norm.tensor]
    }

    /// The embedding of a token.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn embedding(&mut self, token: usize, out: &mut [f32]) -> Result<(), Error> {
        let (model, matrix) = (self.model, &self.model.weights().token_embd);
        let tensor = &model.file().tensors()[matrix.tensor];
        let row_bytes = tensor.n_bytes as usize / matrix.n_rows;
        let offset = tensor.offset + (token * row_bytes) as u64;
        let place =
            failed(model, offset, row_bytes, disk::read(&*self.ring.disk, &mut self.row, offset, row_bytes))?;
        Rows { ty: matrix.ty, n_cols: matrix.n_cols, bytes: &self.row[place] }.decode(0, out);
        Ok(())
    }

    /// The pieces of a matrix, in their order.
    pub(crate) fn pieces(&self, matrix: &Matrix) -> Range<usize> {
        self.ring.scan.of(matrix)
    }

    /// A piece of a matrix, and which of its rows is the first one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn rows(&mut self, matrix: &Matrix, piece: usize) -> Result<(usize, Rows<'_>), Error> {
        self.leave();
        self.heed_pressure();
        let ring::Ring { scan, .. } = &*self.ring;
        let current = if self.kept[piece].is_some() {
            self.ring.lock().advance(piece);
            Current::Kept(piece)
        } else {
            let scan::Piece { offset, len, .. } = scan.pieces[piece];
            Current::Passing(piece, failed(self.model, offset, len, self.ring.take(piece))?)
        };
        let first_row = scan.pieces[piece].first_row;
        let bytes = match self.current.insert(current) {
            Current::Kept(piece) => self.kept[*piece].as_ref().map_or(&[][..], Loaded::bytes),
            Current::Passing(_, loaded) => loaded.bytes(),
        };
        Ok((first_row, Rows { ty: matrix.ty, n_cols: matrix.n_cols, bytes }))
    }

    /// Keeps the piece that was in use, or gives its buffer back to the ring.
    fn leave(&mut self) {
        let Some(current) = self.current.take() else { return };
        let scan = &self.ring.scan;
        let mut state = self.ring.lock();
        match current {
            Current::Kept(piece) if state.wants(scan, piece) || self.is_holding => {}
            Current::Kept(piece) => {
                if let Some(loaded) = self.kept[piece].take() {
                    self.kept_bytes -= loaded.map.len() as u64;
                    state.set_kept(piece, false);
                }
            }
            Current::Passing(piece, loaded) => {
                let own = if state.wants(scan, piece) {
                    drop(state);
                    let own = loaded.to_own();
                    state = self.ring.lock();
                    own.ok() // where there is no memory for it, it comes past again
                } else {
                    None
                };
                let stays = match own {
                    Some(own) => {
                        state.recycle(loaded);
                        own
                    }
                    None if self.is_holding => {
                        self.held.push(piece);
                        loaded
                    }
                    None => return state.recycle(loaded),
                };
                self.kept_bytes += stays.map.len() as u64;
                self.kept[piece] = Some(stays);
                state.set_kept(piece, true);
            }
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.ring.close();
        for reader in self.readers.drain(..) {
            // It holds nothing that a panic could have spoiled; and a drop must not panic.
            let _ = reader.join();
        }
    }
}

/// Says where a read has failed.
fn failed<T>(model: &Model, offset: u64, len: usize, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|why| {
        let what = if why.kind() == io::ErrorKind::UnexpectedEof {
            format!(
                "it ends before byte {}, where its weights go: it was cut while in use",
                offset + len as u64
            )
        } else {
            format!("{len} bytes at byte {offset} cannot be read: the disk may be failing or gone")
        };
        Error::read(model.file(), &what, why)
    })
}
