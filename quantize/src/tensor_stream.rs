//! Tensors to a file, in row blocks: filled, encoded and written at the same time.
//!
//! Both who quantizes a file and who converts a checkpoint have tensors in order, can say what any rows are as floats,
//! and want blocks on the disk. What lies between is here, once. A tensor is cut into *batches* of a few megabytes of
//! output and a batch into *chunks* of rows. All cores take chunks; a chunk is filled, checked and encoded by one core
//! while its floats are in that core's cache. While a batch is encoded, the one before it is written. So memory stays
//! at two batches and a chunk for each core, however large the model is; and a bound on memory makes batches smaller.

mod batch;

use crate::{Error, Loss, Monitor, Work};
use batch::{Fill, encode_batch};
pub(crate) use batch::{Rows, first_not_finite};
use blocks::{TensorType, with_block};
use gguf::{Fingerprint, Metadata, TensorSpec};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Encoded bytes in a batch, where a bound on memory does not ask for fewer. Two of them are in memory. Large enough that
/// starting and joining the cores, and the call that writes, cost nothing.
const BATCH_BYTES: u64 = 8 << 20;

/// The longest row, as a bound on memory: 16 MiB of floats for each core. Llama's longest has 53 248 weights.
pub const MAX_COLS: u64 = 4 << 20;

/// A GGUF whose tensors come as floats.
#[derive(Debug)]
pub struct TensorStream {
    writer: gguf::Writer,
    /// Encoded, to be written while the next batch is encoded.
    pending: Vec<u8>,
    /// The next batch; what is kept is its allocation.
    next: Vec<u8>,
    batch_bytes: u64,
    /// Whether a run before may have left tensors of this file.
    resuming: bool,
    /// Whether one is known to have been.
    was_interrupted: bool,
    n_tensors: usize,
    n_recovered: usize,
    /// Whether it is measured what tensors lose.
    measures: bool,
    /// What each lost, as far as that is known.
    losses: Vec<Option<Loss>>,
    /// `Some`: weights that are no finite numbers are taken, and counted here.
    n_nonfinite: Option<AtomicU64>,
}

/// A tensor that [`TensorStream::tensor`] will encode.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// Its name, for errors.
    pub name: &'a str,
    /// What it becomes.
    pub ty: TensorType,
    /// Weights in a row.
    pub n_cols: u64,
    /// Rows.
    pub n_rows: u64,
    /// What an error in each column costs, positive and about 1, `n_cols` long; `None` where nothing is known of it.
    pub importance: Option<&'a [f32]>,
}

impl<'a> Matrix<'a> {
    /// What a file says of a tensor.
    pub(crate) fn of(spec: &'a TensorSpec) -> Self {
        let n_cols = spec.shape.first().copied().unwrap_or(1);
        Self {
            name: &spec.name,
            ty: spec.ty,
            n_cols,
            n_rows: spec.shape.iter().skip(1).product(),
            importance: None,
        }
    }
}

impl TensorStream {
    /// Begins the file, or takes one over. `source` is what the tensors' weights follow from; `held_bytes` of memory are
    /// the caller's.
    ///
    /// # Errors
    /// Where the output cannot be written, or there is less memory than the least that it takes.
    pub fn create(
        path: &Path,
        metadata: &Metadata,
        specs: &[TensorSpec],
        mut source: Fingerprint,
        work: &Work,
        held_bytes: u64,
    ) -> Result<Self, Error> {
        source.add(&[work.allow_nonfinite.into()]);
        let batch_bytes = work.batch_bytes(specs, held_bytes)?.min(BATCH_BYTES);
        let writer = gguf::Writer::recoverable(path, metadata, specs, source)?;
        let (pending, next) = (Vec::new(), Vec::new());
        let n_tensors = specs.len();
        let n_nonfinite = work.allow_nonfinite.then(AtomicU64::default);
        let was_interrupted = work.resume;
        Ok(Self {
            writer,
            pending,
            next,
            batch_bytes,
            resuming: true,
            was_interrupted,
            n_tensors,
            n_recovered: 0,
            measures: work.measure,
            losses: vec![None; n_tensors],
            n_nonfinite,
        })
    }

    /// Whether the next tensor is there from a run before, whole; then `input_bytes` are done, and the tensor behind it is
    /// the next one. Ask before each tensor. What is found is told.
    pub fn recover(&mut self, input_bytes: u64, monitor: &dyn Monitor) -> Result<bool, Error> {
        if !self.resuming {
            return Ok(false);
        }
        let at = self.at();
        if let Some(note) = self.writer.recover()? {
            self.losses[at] = Loss::from_note(&note);
            self.n_recovered += 1;
            monitor.advance(input_bytes)?;
            return Ok(true);
        }
        self.resuming = false;
        match self.n_recovered {
            0 if self.was_interrupted => {
                monitor.note("nothing of this file is there to go on with: it starts from the beginning");
            }
            0 => {}
            n => monitor.note(&format!(
                "going on behind {n} of {} tensors, which an interrupted run has left, whole",
                self.n_tensors
            )),
        }
        Ok(false)
    }

    /// Ends early, and leaves what is done for a run that resumes, which is told.
    pub fn keep(self, monitor: &dyn Monitor) {
        self.writer.keep();
        monitor.note("what is done is kept: the same call goes on there");
    }

    /// Encodes and writes the next tensor. `fill(rows, floats)` writes the weights of consecutive rows; it is called
    /// for every row once, from several threads, and in no order that can be relied on. It is also the place to count
    /// progress and to stop.
    ///
    /// # Panics
    /// If there is importance, but not for each column.
    ///
    /// # Errors
    /// What `fill` returns; a weight that is NaN or infinite, unless [`Work`] takes those; rows longer than [`MAX_COLS`] or no whole number of
    /// blocks; a type that has no encoder; the file's. The stream is of no use after an error: drop it, and nothing is
    /// left of the file.
    pub fn tensor<E: From<Error> + Send>(
        &mut self,
        matrix: &Matrix<'_>,
        fill: impl Fn(Range<u64>, &mut [f32]) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        if !with_block!(matrix.ty, _B => true, else false) {
            return Err(Error::NoEncoder { tensor: matrix.name.to_owned(), ty: matrix.ty }.into());
        }
        self.batches(matrix, &fill)
    }

    /// Weights of the tensors so far that are NaN or infinite, where those are taken.
    pub fn n_nonfinite(&self) -> u64 {
        self.n_nonfinite.as_ref().map_or(0, |n| n.load(Ordering::Relaxed))
    }

    /// Writes bytes of the next tensor as they are.
    pub fn copy(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.flush()?;
        Ok(self.writer.write(bytes)?)
    }

    /// The same for a whole tensor that lost so much.
    pub(crate) fn copy_measured(&mut self, bytes: &[u8], loss: Loss) -> Result<(), Error> {
        self.flush()?;
        self.lost(loss);
        self.copy(bytes)
    }

    /// What each tensor lost, in the file's order; `None` where that is not known: of those that were copied, and where nobody
    /// asked for it ([`Work::measure`]).
    pub fn losses(&self) -> &[Option<Loss>] {
        &self.losses
    }

    /// Whether it is asked for.
    pub(crate) fn measures(&self) -> bool {
        self.measures
    }

    /// Keys that say what is known in the end only: as many bytes as the file was begun with.
    pub(crate) fn amend(&mut self, metadata: &Metadata) -> Result<(), Error> {
        self.flush()?;
        Ok(self.writer.amend(metadata)?)
    }

    /// The tensor that is being written, or comes next.
    fn at(&self) -> usize {
        self.n_tensors - self.writer.n_left()
    }

    /// What the tensor lost that is being written. Some of its bytes are still to come.
    fn lost(&mut self, loss: Loss) {
        let at = self.at();
        self.losses[at] = Some(loss);
        self.writer.note(loss.to_note());
    }

    /// Ends the file: it gets its name. What was taken that is no number is told.
    pub fn finish(mut self, monitor: &dyn Monitor) -> Result<(), Error> {
        self.flush()?;
        match self.n_nonfinite() {
            0 => {}
            n => monitor
                .note(&format!("{n} weights are NaN or infinite: where they were quantized, they are 0 now")),
        }
        Ok(self.writer.finish()?)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.writer.write(&self.pending)?;
        self.pending.clear();
        Ok(())
    }

    fn batches<E: From<Error> + Send>(&mut self, matrix: &Matrix<'_>, fill: &Fill<'_, E>) -> Result<(), E> {
        let rows = Rows::new(matrix, self.batch_bytes)?;
        let mut loss = self.measures.then(Loss::default);
        for start in (0..matrix.n_rows).step_by(rows.per_batch) {
            let n = rows.per_batch.min((matrix.n_rows - start) as usize);
            // Not resize alone: what is there already need not be zeroed again.
            self.next.truncate(n * rows.n_bytes);
            self.next.resize(n * rows.n_bytes, 0);
            let Self { writer, pending, next, n_nonfinite, .. } = self;
            let (encoded, written) = rayon::join(
                || encode_batch(matrix, &rows, start, next, n_nonfinite.as_ref(), loss.as_mut(), fill),
                || writer.write(pending).map_err(Error::from),
            );
            written?;
            encoded?;
            std::mem::swap(&mut self.pending, &mut self.next);
        }
        // Its last batch is not written yet, so that the note is its own.
        if let Some(loss) = loss.filter(|_| matrix.n_rows > 0) {
            self.lost(loss);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
