//! How fast this machine is at what a model needs of it, measured in a few seconds on the model's own weights.
//!
//! The disk is read as a session reads it, by the same stream; what came is multiplied by the same kernels, piece by
//! piece. So everything that a stream meets is in the figures: limits on reads, other programs, the file system's ways.

use crate::stream::{Stream, StreamOptions};
use crate::{Error, Matrix, Model, SessionOptions, machine};
use kernels::{Activations, Product, Rows, Team};
use std::time::{Duration, Instant};

/// The disk is read for as long, once it is known how many readers it wants; if that does not show, for longer.
const DISK_TIME: Duration = Duration::from_millis(500);
const MAX_DISK_TIME: Duration = Duration::from_secs(3);

/// Weights that are multiplied: more than caches hold.
const MAX_SAMPLE_BYTES: usize = 64 << 20;

/// Times that they are; the middle one counts.
const N_REPEATS: usize = 7;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Speeds {
    /// What the disk gives past the page cache.
    pub disk_bytes_per_second: f64,
    /// To so many readers at once, beyond which it gives no more that is worth it; `None`: it is slow, and that did not
    /// show.
    pub disk_readers: Option<usize>,
    /// Weights that are multiplied with one token.
    pub weight_bytes_per_second: f64,
}

/// Pieces of a model's weights, to measure with.
#[derive(Debug)]
pub struct Probe<'m> {
    model: &'m Model,
    disk_bytes_per_second: f64,
    disk_readers: Option<usize>,
    /// Matrices and rows of them.
    sample: Vec<(&'m Matrix, Box<[u8]>)>,
}

impl<'m> Probe<'m> {
    /// Reads from the disk for a second or two, or all there is, and keeps up to `max_bytes` of it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn new(model: &'m Model, max_bytes: u64) -> Result<Self, Error> {
        let options = StreamOptions::default();
        let mut stream = Stream::new(model, options)?;
        let mut room = MAX_SAMPLE_BYTES.min(max_bytes as usize);
        let mut sample = Vec::new();
        let (start, mut begun, mut was_settled) = (Instant::now(), None, false);
        let mut rate = f64::INFINITY;
        'read: for matrix in model.weights().matrices() {
            for piece in stream.pieces(matrix) {
                let (_, rows) = stream.rows(matrix, piece)?;
                if rows.bytes.len() <= room {
                    room -= rows.bytes.len();
                    sample.push((matrix, rows.bytes.into()));
                }
                let (read_bytes, is_settled) = (stream.read_bytes(), stream.n_readers().is_some());
                // What comes first may have waited already.
                if read_bytes > 2 * options.ahead_bytes as u64 {
                    begun.get_or_insert((Instant::now(), read_bytes));
                }
                if is_settled && !std::mem::replace(&mut was_settled, true) {
                    begun = Some((Instant::now(), read_bytes));
                }
                // Too little to leave the beginning out: then it counts.
                let (from, before_bytes) = begun.unwrap_or((start, 0));
                rate = (read_bytes - before_bytes) as f64 / from.elapsed().as_secs_f64();
                let enough = if is_settled { from + DISK_TIME } else { start + MAX_DISK_TIME };
                if Instant::now() > enough {
                    break 'read;
                }
            }
        }
        Ok(Self { model, disk_bytes_per_second: rate, disk_readers: stream.n_readers(), sample })
    }

    /// Multiplies what was kept, with the threads and the instruction set of a session.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn speeds(&self, options: &SessionOptions) -> Result<Speeds, Error> {
        let n_threads = if options.threads == 0 { machine::n_cores() } else { options.threads };
        let team = Team::new(n_threads, options.isa)
            .map_err(|why| Error::Request(format!("cannot start {n_threads} threads: {why}")))?;
        let matrices = || self.model.weights().matrices();
        let mut types: Vec<_> = matrices().map(|matrix| matrix.ty).collect();
        types.sort_unstable();
        types.dedup();
        let max_cols = matrices().map(|matrix| matrix.n_cols).max().unwrap_or(0);
        let max_rows = matrices().map(|matrix| matrix.n_rows).max().unwrap_or(0);
        let mut packed = Activations::new(1, max_cols, &types);
        let (x, mut out) = (vec![1.0; max_cols], vec![0.0; max_rows]);
        let n_bytes: usize = self.sample.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut times = Vec::new();
        for _ in 0..N_REPEATS {
            let start = Instant::now();
            for &(&Matrix { ty, n_cols, .. }, ref bytes) in &self.sample {
                packed.pack(&team, &x[..n_cols], n_cols, &[ty]);
                let weights = Rows { ty, n_cols, bytes };
                let stride = weights.n_rows();
                kernels::matmul(
                    &team,
                    &packed,
                    &mut [Product { weights, out: &mut out[..stride], stride, first: 0 }],
                );
            }
            times.push(start.elapsed());
        }
        times.sort_unstable();
        Ok(Speeds {
            disk_bytes_per_second: self.disk_bytes_per_second,
            disk_readers: self.disk_readers,
            weight_bytes_per_second: n_bytes as f64 / times[N_REPEATS / 2].as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::{Tiny, write};

    #[test]
    fn speeds_are_those_of_the_models_own_weights() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        let tiny = Tiny::new();
        write(&path, &tiny.metadata(), &tiny.tensors());
        let model = Model::open(&path).unwrap();
        let all = model.weights().matrices().map(|m| model.file().tensors()[m.tensor].n_bytes).sum::<u64>();
        for max_bytes in [all, all / 2] {
            let probe = Probe::new(&model, max_bytes).unwrap();
            let kept: u64 = probe.sample.iter().map(|(_, bytes)| bytes.len() as u64).sum();
            assert!(kept <= max_bytes && kept > max_bytes / 4, "{kept} of {max_bytes}");
            let speeds = probe.speeds(&SessionOptions::default()).unwrap();
            for speed in [speeds.disk_bytes_per_second, speeds.weight_bytes_per_second] {
                assert!(speed > 1e3 && speed < 1e13, "{speeds:?}");
            }
        }
        std::fs::File::options().write(true).open(&path).unwrap().set_len(20_000).unwrap();
        let error = Probe::new(&model, all).unwrap_err().to_string();
        assert!(error.contains("cut while in use"), "{error}");
    }
}
