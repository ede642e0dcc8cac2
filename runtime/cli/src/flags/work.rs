//! How `convert` and `quantize` make their file.

use super::{size, threads};
use crate::error::Error;
use crate::interrupt;
use quantize::Work;

/// Memory that no conversion needs more of, whatever the model.
const ENOUGH_BYTES: u64 = 1 << 30;

/// How a file is made; where all weights are numbers, none of these changes what is in it.
#[derive(clap::Args, Debug)]
pub(crate) struct WorkFlags {
    /// Take at most this much memory, besides mapped files: 256MiB, 1GiB [default: what this process may use, at most
    /// 1GiB where the model is not run]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_ram: Option<u64>,
    /// Go on where the same call was interrupted before, and keep what is done if it is interrupted again. What is there
    /// already is checked; the file will be the same as without an interruption. Where a call was killed, the next one
    /// goes on there anyway
    #[arg(long)]
    resume: bool,
    /// Take weights that are NaN or infinite, which only a damaged model has: quantized, they become 0
    #[arg(long)]
    allow_nonfinite: bool,
    /// Threads that work; auto: all cores that this process may use
    #[arg(long, value_name = "N", default_value = "auto", value_parser = threads)]
    threads: usize,
}

impl WorkFlags {
    /// Starts the threads, and has signals end the work in order. Conversion and quantization use rayon's own pool.
    pub(crate) fn start(&self) -> Result<Work, Error> {
        self.start_within(ENOUGH_BYTES)
    }

    /// The same for work that may take so much memory, if nobody says otherwise.
    pub(crate) fn start_within(&self, enough_bytes: u64) -> Result<Work, Error> {
        // Before the threads take their stacks, which are counted as the work's.
        let max_ram_bytes = self.max_ram.unwrap_or_else(|| engine::available_bytes(0).min(enough_bytes));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads);
        pool.build_global().map_err(|error| Error::Failed(format!("no threads can be made: {error}")))?;
        interrupt::file_is_written();
        Ok(Work {
            max_ram_bytes: Some(max_ram_bytes),
            resume: self.resume,
            allow_nonfinite: self.allow_nonfinite,
            measure: false,
        })
    }

    /// Threads that were asked for; 0: as many as do best.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Memory that may be taken, if that was said.
    pub(crate) fn max_ram(&self) -> Option<u64> {
        self.max_ram
    }

    /// An error, with what whoever interrupted the work may want to know.
    pub(crate) fn ended(&self, error: Error) -> Error {
        match error {
            Error::Interrupted(text) if !self.resume => {
                Error::Interrupted(text + ", and nothing is kept; with --resume, what is done is")
            }
            error => error,
        }
    }
}
