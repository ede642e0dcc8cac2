//! How long a user waits for the first token: from opening the file to the logits after one.

use crate::error::Error;
use crate::system;
use engine::{Model, Session, SessionOptions};
use serde::Serialize;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// Seconds to the first token.
#[derive(Serialize)]
pub(super) struct FirstToken {
    /// With the file in memory, as far as it stays there.
    pub warm_seconds: f64,
    /// With the file on the disk alone; `null`: not asked for, or the system kept the file in memory.
    pub cold_seconds: Option<f64>,
}

/// Measures it, cold first. Nothing of this process may have the file mapped: such pages stay.
pub(super) fn first_token(path: &Path, options: &SessionOptions, cold: bool) -> Result<FirstToken, Error> {
    let cold_seconds = match cold {
        true => after_dropping(path, options)?,
        false => None,
    };
    start(path, options)?; // brings the file into memory
    Ok(FirstToken { warm_seconds: start(path, options)?.as_secs_f64(), cold_seconds })
}

fn after_dropping(path: &Path, options: &SessionOptions) -> Result<Option<f64>, Error> {
    let file = File::open(path).map_err(Error::io(path))?;
    // What is not on the disk yet cannot be dropped. A file that cannot be written to has nothing of the kind.
    let _ = file.sync_data();
    system::drop_cached(&file).map_err(Error::io(path))?;
    let before = bytes_from_disk();
    let time = start(path, options)?;
    let read = bytes_from_disk().zip(before).map(|(after, before)| after - before);
    // An advice is not an order: it was cold if most of the file came from the disk.
    let n_bytes = file.metadata().map_err(Error::io(path))?.len();
    Ok(read.is_some_and(|read| read > n_bytes / 2).then_some(time.as_secs_f64()))
}

/// What this process has had read from disks, as Linux counts it.
fn bytes_from_disk() -> Option<u64> {
    let io = std::fs::read_to_string("/proc/self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix("read_bytes:"))?.trim().parse().ok()
}

fn start(path: &Path, options: &SessionOptions) -> Result<Duration, Error> {
    let start = Instant::now();
    let model = Model::open(path)?;
    let mut session = Session::new(&model, options)?;
    session.feed(&[model.tokenizer().bos().unwrap_or(0)])?;
    Ok(start.elapsed())
}
