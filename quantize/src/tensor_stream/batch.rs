//! A batch of a tensor: how many rows it has, and how all cores fill, check and encode them.

use super::{MAX_COLS, Matrix};
use crate::encode::processor;
use crate::{Error, Loss, encode};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Floats in a chunk: 256 KiB, which fits the second-level cache of every core that matters, with its output.
const CHUNK_WEIGHTS: usize = 64 << 10;

/// What [`TensorStream::tensor`](super::TensorStream::tensor) takes, not compiled again for each.
pub(super) type Fill<'a, E> = dyn Fn(Range<u64>, &mut [f32]) -> Result<(), E> + Sync + 'a;

/// How a tensor is cut.
pub(crate) struct Rows {
    n_cols: usize,
    pub(super) n_bytes: usize,
    per_chunk: usize,
    pub(super) per_batch: usize,
}

impl Rows {
    /// Into batches of about so many bytes, a chunk at least.
    pub(crate) fn new(matrix: &Matrix<'_>, batch_bytes: u64) -> Result<Self, Error> {
        let &Matrix { name, ty, n_cols, .. } = matrix;
        let n_bytes = ty.row_bytes(n_cols).filter(|_| 0 < n_cols && n_cols <= MAX_COLS);
        let n_bytes =
            n_bytes.ok_or_else(|| Error::RowLength { tensor: name.to_owned(), ty, n_cols })? as usize;
        let n_cols = n_cols as usize;
        let per_chunk = (CHUNK_WEIGHTS / n_cols).max(1);
        let per_batch = (batch_bytes / (per_chunk * n_bytes) as u64).max(1) as usize * per_chunk;
        Ok(Self { n_cols, n_bytes, per_chunk, per_batch })
    }

    /// Bytes of a chunk's floats.
    pub(crate) fn floats_bytes(&self) -> u64 {
        (self.per_chunk * self.n_cols * size_of::<f32>()) as u64
    }

    /// Bytes of a chunk's blocks.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        (self.per_chunk * self.n_bytes) as u64
    }
}

/// Encodes the rows from `start` on into `out`.
pub(super) fn encode_batch<E: From<Error> + Send>(
    matrix: &Matrix<'_>,
    rows: &Rows,
    start: u64,
    out: &mut [u8],
    n_nonfinite: Option<&AtomicU64>,
    loss: Option<&mut Loss>,
    fill: &Fill<'_, E>,
) -> Result<(), E> {
    let measures = loss.is_some();
    let n_floats = rows.per_chunk * rows.n_cols;
    let floats = || (vec![0.0; n_floats], vec![0.0; if measures { n_floats } else { 0 }]);
    let chunks = out.par_chunks_mut(rows.per_chunk * rows.n_bytes).enumerate();
    let encoded = chunks.map_init(floats, |(floats, again), (i, out)| -> Result<Option<Loss>, E> {
        let first = start + (i * rows.per_chunk) as u64;
        let n_rows = out.len() / rows.n_bytes;
        let floats = &mut floats[..n_rows * rows.n_cols];
        fill(first..first + n_rows as u64, floats)?;
        if let Some(at) = first_not_finite(floats) {
            let Some(n_nonfinite) = n_nonfinite else {
                let (row, col) = (first + (at / rows.n_cols) as u64, at % rows.n_cols);
                return Err(
                    Error::NotFinite { tensor: matrix.name.to_owned(), row, col, value: floats[at] }.into()
                );
            };
            n_nonfinite.fetch_add(take_nonfinite(floats, matrix.ty.is_quantized()), Ordering::Relaxed);
        }
        match matrix.importance {
            None => encode(matrix.ty, floats, None, out),
            importance => {
                let rows = floats.chunks_exact(rows.n_cols).zip(out.chunks_exact_mut(rows.n_bytes));
                rows.for_each(|(floats, out)| encode(matrix.ty, floats, importance, out));
            }
        }
        let n = floats.len();
        Ok(measures.then(|| Loss::of(matrix.ty, floats, out, matrix.importance, &mut again[..n])))
    });
    let Some(loss) = loss else {
        // The first in the tensor's order, not in time: the same file gives the same error.
        return encoded.find_map_first(Result::err).map_or(Ok(()), Err);
    };
    // In the order of the rows: sums of floats.
    for of_chunk in encoded.collect::<Vec<_>>() {
        of_chunk?.iter().for_each(|of_chunk| loss.add(of_chunk));
    }
    Ok(())
}

/// How many weights are NaN or infinite; `are_zeroed`: they become 0, because a block's scale would spoil its others.
fn take_nonfinite(floats: &mut [f32], are_zeroed: bool) -> u64 {
    let mut n = 0;
    for float in floats.iter_mut().filter(|float| !float.is_finite()) {
        n += 1;
        if are_zeroed {
            *float = 0.0;
        }
    }
    n
}

/// Where the first NaN or infinity is.
pub(crate) fn first_not_finite(floats: &[f32]) -> Option<usize> {
    // The largest bit pattern without its sign: a loop without an exit, which the compiler vectorizes (of signed numbers:
    // the baseline of x86-64 cannot compare others).
    let largest = processor::run(
        #[inline(always)]
        || floats.iter().fold(0, |largest, x| (x.abs().to_bits() as i32).max(largest)),
    );
    (largest >= f32::INFINITY.to_bits() as i32).then(|| floats.iter().position(|x| !x.is_finite())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bad_weight_is_found_whatever_its_kind() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 7, 1023] {
                let mut floats = vec![f32::MAX; 1024];
                floats[at] = bad;
                floats[1023] = bad;
                assert_eq!(first_not_finite(&floats), Some(at), "{bad}");
            }
        }
        assert_eq!(first_not_finite(&[f32::MAX, f32::MIN, -0.0, 1e-45]), None);
    }
}
