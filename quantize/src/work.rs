//! How a large file is made, whatever becomes of its weights: within how much memory, and whether it may go on where a
//! run before was interrupted.
//!
//! What a conversion holds is known before it begins: what the file's header is made of, a thread's stack and floats for
//! each thread, and two batches of encoded blocks. All but the batches is fixed, so a bound on memory is kept by making them
//! smaller, and one that leaves no room for the smallest is refused with the least that would do. The map of the input
//! does not count: its pages belong to a file, and give way.

use crate::tensor_stream::Rows;
use crate::{Error, Matrix};
use gguf::TensorSpec;

/// What the program takes before it has read anything: its data, the allocator's slack, and the threads that wait for
/// signals. Measured: 6 MiB, of which two thirds are stacks that are hardly touched.
const PROCESS_BYTES: u64 = 12 << 20;

/// A thread's stack, which counts whole against a limit on data, and what the allocator sets aside for it.
const THREAD_BYTES: u64 = (2 << 20) + (512 << 10);

/// How an output is made. Where all weights are numbers, what is in it does not depend on this.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// The most memory that the process may take, but for mapped files; `None`: what is fastest, which is little.
    pub max_ram_bytes: Option<u64>,
    /// Keep what is done when this run is interrupted. What a run before has left is gone on with anyway, if it was killed or
    /// kept it; that it left nothing is told here.
    pub resume: bool,
    /// Take weights that are NaN or infinite, too. Plain numbers stay what they are; blocks have none such: there they
    /// become 0.
    pub allow_nonfinite: bool,
    /// Measure what each tensor loses, which takes some time and as many floats again.
    pub measure: bool,
}

impl Work {
    /// Whether the bound on memory is enough for a file of these tensors, if the process holds `held_bytes` beside.
    ///
    /// # Errors
    /// [`Error::Memory`] if not.
    pub fn check(&self, specs: &[TensorSpec], held_bytes: u64) -> Result<(), Error> {
        self.batch_bytes(specs, held_bytes).map(|_| ())
    }

    /// How many bytes a batch of blocks may have.
    ///
    /// # Errors
    /// As of [`check`](Self::check).
    pub(crate) fn batch_bytes(&self, specs: &[TensorSpec], held_bytes: u64) -> Result<u64, Error> {
        let Some(max_bytes) = self.max_ram_bytes else { return Ok(u64::MAX) };
        let n_threads = rayon::current_num_threads() as u64;
        let (mut floats_bytes, mut least_batch_bytes) = (0, 0);
        // A tensor that cannot be cut is copied, or is told when it is its turn.
        for rows in specs.iter().filter_map(|spec| Rows::new(&Matrix::of(spec), 0).ok()) {
            let n = if self.measure { 2 } else { 1 };
            floats_bytes = floats_bytes.max(n * rows.floats_bytes());
            least_batch_bytes = least_batch_bytes.max(rows.chunk_bytes());
        }
        let fixed = n_threads
            .saturating_mul(THREAD_BYTES + floats_bytes)
            .saturating_add(PROCESS_BYTES)
            .saturating_add(held_bytes);
        let least_bytes = fixed.saturating_add(2 * least_batch_bytes);
        if max_bytes < least_bytes {
            return Err(Error::Memory { max_bytes, least_bytes, n_threads });
        }
        Ok((max_bytes - fixed) / 2)
    }
}
