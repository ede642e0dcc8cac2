//! Tensors to a file, in row blocks: filled, encoded and written at the same time.
//!
//! Both who quantizes a file and who converts a checkpoint have tensors in order, can say what any rows are as floats,
//! and want blocks on the disk. What lies between is here, once. A tensor is cut into *batches* of a few megabytes of
//! output and a batch into *chunks* of rows. All cores take chunks; a chunk is filled, checked and encoded by one core
//! while its floats are in that core's cache. While a batch is encoded, the one before it is written. So memory stays
//! at two batches and a chunk for each core, however large the model is; and a bound on memory makes batches smaller.

mod batch;

use crate::{Error, Monitor, Work};
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
            n_nonfinite,
        })
    }

    /// Whether the next tensor is there from a run before, whole; then `input_bytes` are done, and the tensor behind it is
    /// the next one. Ask before each tensor. What is found is told.
    pub fn recover(&mut self, input_bytes: u64, monitor: &dyn Monitor) -> Result<bool, Error> {
        if !self.resuming {
            return Ok(false);
        }
        if self.writer.recover()? {
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
        for start in (0..matrix.n_rows).step_by(rows.per_batch) {
            let n = rows.per_batch.min((matrix.n_rows - start) as usize);
            // Not resize alone: what is there already need not be zeroed again.
            self.next.truncate(n * rows.n_bytes);
            self.next.resize(n * rows.n_bytes, 0);
            let Self { writer, pending, next, n_nonfinite, .. } = self;
            let (encoded, written) = rayon::join(
                || encode_batch(matrix, &rows, start, next, n_nonfinite.as_ref(), fill),
                || writer.write(pending).map_err(Error::from),
            );
            written?;
            encoded?;
            std::mem::swap(&mut self.pending, &mut self.next);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blocks::Block;
    use gguf::{File, Fingerprint, Metadata, TensorSpec};
    use std::path::Path;
    use std::sync::Mutex;

    fn start(path: &Path, tensors: &[(&str, TensorType, [u64; 2])]) -> TensorStream {
        let spec = |&(name, ty, shape): &(&str, _, [u64; 2])| TensorSpec {
            name: name.into(),
            shape: shape.into(),
            ty,
        };
        let specs: Vec<_> = tensors.iter().map(spec).collect();
        TensorStream::create(path, &Metadata::default(), &specs, Fingerprint::default(), &Work::default(), 0)
            .unwrap()
    }

    #[test]
    fn several_batches_arrive_in_order_and_every_row_is_asked_for_once() {
        // 12 MiB and 9.6 MiB of output, so two batches each, and something of the first is still to be written when
        // the second begins.
        let tensors = [("a", TensorType::F32, [1024, 3000]), ("b", TensorType::F16, [1000, 5033])];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.gguf");
        let mut stream = start(&path, &tensors);
        for (name, ty, [n_cols, n_rows]) in tensors {
            let asked = Mutex::new(vec![0; n_rows as usize]);
            let matrix = Matrix { name, ty, n_cols, n_rows, importance: None };
            let filled = stream.tensor(&matrix, |rows, floats| {
                assert_eq!(floats.len() as u64, (rows.end - rows.start) * n_cols);
                for (row, floats) in rows.zip(floats.chunks_exact_mut(n_cols as usize)) {
                    asked.lock().unwrap()[row as usize] += 1;
                    floats.fill((row % 2048) as f32);
                }
                Ok::<_, Error>(())
            });
            filled.unwrap();
            assert!(asked.into_inner().unwrap().iter().all(|&times| times == 1));
        }
        stream.finish(&()).unwrap();

        let file = File::open(&path).unwrap();
        for (tensor, (name, ty, [n_cols, _])) in file.tensors().iter().zip(tensors) {
            for (row, bytes) in file.bytes(tensor).chunks(ty.row_bytes(n_cols).unwrap() as usize).enumerate()
            {
                let expected = (row % 2048) as f32;
                let first = with_block!(ty, B => {
                    let mut float = [0.0];
                    B::decode(&blocks::from_bytes(bytes)[0], &mut float);
                    float[0]
                }, else panic!());
                assert!(
                    first == expected && bytes.ends_with(&bytes[..bytes.len() / n_cols as usize]),
                    "{name} {row}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_encoded_is_a_sentence_before_any_row_is_asked_for() {
        for (ty, n_cols, expected) in [
            (TensorType::Q4_0, 48, "tensor `a` has rows of 48 weights: as Q4_0 they must be multiples of 32"),
            (TensorType::F32, MAX_COLS + 1, "and at most 4194304"),
            (TensorType::Iq1S, 256, "tensor `a` would become IQ1_S, which llamita cannot encode"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out.gguf");
            let mut stream = start(&path, &[("a", TensorType::F32, [4, 1])]);
            let matrix = Matrix { name: "a", ty, n_cols, n_rows: 1, importance: None };
            let error = stream.tensor(&matrix, |_, _| -> Result<(), Error> { panic!("asked") }).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            drop(stream);
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        }
    }
}
