//! Reads every weight of a file and looks for those that are no finite numbers: what a broken download, a broken
//! disk or a broken quantizer leaves, and what makes a model write nothing but nonsense.

use crate::error::Error;
use crate::progress::{Progress, Unit};
use crate::terminal::{print, visible};
use crate::{interrupt, units};
use blocks::{Block, with_block};
use gguf::{File, TensorInfo};
use serde::Serialize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that a thread decodes before it looks for a signal.
const PIECE_BYTES: usize = 1 << 20;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    n_checked: usize,
    /// Tensors of types that llamita cannot decode.
    not_checked: Vec<String>,
    bad: Vec<BadTensor>,
}

#[derive(Debug, Serialize)]
struct BadTensor {
    name: String,
    /// Index of the first weight that is infinite or not a number.
    first: u64,
    count: u64,
}

/// Weights of a piece that are not finite: how many, and the first one's index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct NotFinite {
    count: u64,
    first: Option<u64>,
}

/// Reads all weights of `file`.
pub(super) fn verify(file: &File) -> Result<Report, Error> {
    let progress = Progress::new("verifying", Unit::Bytes);
    progress.set_total(file.tensors().iter().map(|tensor| tensor.n_bytes).sum());
    let mut report = Report::default();
    for tensor in file.tensors() {
        let found = with_block!(tensor.ty, B => Some(check::<B>(blocks::from_bytes(file.bytes(tensor)), &progress)?), else None);
        match found {
            None => {
                report.not_checked.push(tensor.name.clone());
                progress.add(tensor.n_bytes);
            }
            Some(found) => {
                report.n_checked += 1;
                report.bad.extend(found.first.map(|first| BadTensor {
                    name: tensor.name.clone(),
                    first,
                    count: found.count,
                }));
            }
        }
    }
    Ok(report)
}

/// Checks the blocks of a tensor on all threads.
fn check<B: Block>(blocks: &[B], progress: &Progress) -> Result<NotFinite, Error> {
    let piece_len = PIECE_BYTES / size_of::<B>();
    let pieces: Vec<&[B]> = blocks.chunks(piece_len).collect();
    let n_threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(pieces.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = NotFinite::default();
        while let Some((index, piece)) = claim(&next, &pieces) {
            if interrupt::requested() {
                break;
            }
            let start = (index * piece_len * B::LEN) as u64;
            found = found.and(check_piece(piece).from(start));
            progress.add(size_of_val(*piece) as u64);
        }
        found
    };
    let found = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("decoding does not panic"))
            .fold(NotFinite::default(), NotFinite::and)
    });
    interrupt::check()?;
    Ok(found)
}

fn claim<'p, T>(next: &AtomicUsize, pieces: &'p [T]) -> Option<(usize, &'p T)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    pieces.get(index).map(|piece| (index, piece))
}

fn check_piece<B: Block>(blocks: &[B]) -> NotFinite {
    let mut weights = vec![0.0; B::LEN];
    let mut found = NotFinite::default();
    for (index, block) in blocks.iter().enumerate() {
        block.decode(&mut weights);
        let count = weights.iter().filter(|weight| !weight.is_finite()).count() as u64;
        if count > 0 {
            let at = weights.iter().position(|weight| !weight.is_finite()).unwrap_or(0);
            found.count += count;
            found.first = found.first.or(Some((index * B::LEN + at) as u64));
        }
    }
    found
}

impl NotFinite {
    fn from(self, start: u64) -> Self {
        Self { first: self.first.map(|first| start + first), ..self }
    }

    fn and(self, other: Self) -> Self {
        let first = match (self.first, other.first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { count: self.count + other.count, first }
    }
}

impl Report {
    /// The answer as text.
    pub(super) fn print(&self) -> Result<(), Error> {
        print("\n")?;
        for tensor in &self.bad {
            print(&format!(
                "{}: {} weights are not finite, the first is weight {}\n",
                visible(&tensor.name),
                units::count(tensor.count),
                tensor.first
            ))?;
        }
        for name in &self.not_checked {
            print(&format!("{}: not checked, its type cannot be decoded\n", visible(name)))?;
        }
        print(&format!(
            "verified: {} of {} tensors hold finite weights only\n",
            self.n_checked - self.bad.len(),
            self.n_checked
        ))
    }

    /// The error that the command ends with, if weights are not finite.
    pub(super) fn failure(&self, file: &File) -> Option<Error> {
        let first = self.bad.first()?;
        let others = match self.bad.len() - 1 {
            0 => String::new(),
            n => format!(" (and of {n} more tensors)"),
        };
        let at = file.tensor(&first.name).map_or(0, |tensor| byte_of(tensor, first.first));
        Some(Error::Failed(format!(
            "{}: at byte {at}, tensor `{}`: weight {} is not finite{others}; get or make the file again",
            file.path().display(),
            first.name,
            first.first
        )))
    }
}

/// Where the block of a weight begins in the file.
fn byte_of(tensor: &TensorInfo, weight: u64) -> u64 {
    tensor.offset + weight / tensor.ty.block_len() as u64 * tensor.ty.block_bytes() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_that_is_not_finite_is_found_in_its_place() {
        let mut bytes = vec![0u8; 4 * 1000];
        bytes[4 * 700..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
        bytes[4 * 900..][..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
        let found = check_piece::<blocks::F32>(blocks::from_bytes(&bytes));
        assert_eq!(found, NotFinite { count: 2, first: Some(700) });
        assert_eq!(found.from(50).and(NotFinite { count: 1, first: Some(3) }).first, Some(3));

        // A Q8_0 block is an f16 scale and 32 numbers: an infinite scale spoils the numbers that are not 0.
        let mut bytes = vec![1u8; 34 * 3];
        bytes[34..36].copy_from_slice(&[0x00, 0x7c]);
        let found = check_piece::<blocks::Q8_0>(blocks::from_bytes(&bytes));
        assert_eq!(found, NotFinite { count: 32, first: Some(32) });
    }
}
