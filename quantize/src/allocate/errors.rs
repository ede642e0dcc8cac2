//! How much of a matrix's output a type loses, found on some of its rows.

use crate::{Error, encode};
use blocks::{Block, TensorType, with_block};
use gguf::{File, TensorInfo};
use rayon::prelude::*;

/// Rows that are tried at least, and one of how many.
const MIN_ROWS: u64 = 64;
const ROWS_PART: u64 = 20;

/// For each type the error of the outputs, relative to them, if inputs are as `importance` says and independent.
///
/// # Errors
/// If the matrix cannot be decoded.
pub(super) fn relative(
    input: &File,
    tensor: &TensorInfo,
    types: &[TensorType],
    importance: Option<&[f32]>,
) -> Result<Vec<f64>, Error> {
    if types.len() < 2 {
        return Ok(vec![0.0; types.len()]); // there is nothing to choose
    }
    let n_rows = tensor.n_rows();
    let n_tried = (n_rows / ROWS_PART).max(MIN_ROWS).min(n_rows);
    let one = |i: u64| -> Result<Vec<f64>, Error> {
        let mut row = vec![0.0; tensor.n_cols() as usize];
        // From the middle of each of as many equal parts.
        let at = ((2 * i + 1) as u128 * n_rows as u128 / (2 * n_tried) as u128) as u64;
        rows(input, tensor, at..at + 1, &mut row)?;
        let mut sums = vec![squares(&row, importance)];
        let mut again = vec![0.0; row.len()];
        for &ty in types {
            round(ty, &row, importance, &mut again);
            again.iter_mut().zip(&row).for_each(|(again, w)| *again -= w);
            sums.push(squares(&again, importance));
        }
        Ok(sums)
    };
    let add = |mut sums: Vec<f64>, more: Vec<f64>| {
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        Ok(sums)
    };
    let sums = (0..n_tried).into_par_iter().map(one).try_reduce(|| vec![0.0; types.len() + 1], add)?;
    Ok(sums[1..].iter().map(|error| if sums[0] > 0.0 { error / sums[0] } else { 0.0 }).collect())
}

/// Decodes rows. What is no number becomes 0: it is told when the matrix is written.
pub(super) fn rows(
    input: &File,
    tensor: &TensorInfo,
    rows: std::ops::Range<u64>,
    out: &mut [f32],
) -> Result<(), Error> {
    with_block!(tensor.ty, B => {
        let per_row = tensor.n_cols() / B::LEN as u64;
        let blocks = blocks::from_bytes::<B>(input.bytes(tensor));
        blocks::decode(&blocks[(rows.start * per_row) as usize..(rows.end * per_row) as usize], out);
    }, else return Err(Error::NoDecoder { tensor: tensor.name.clone(), ty: tensor.ty }));
    out.iter_mut().filter(|w| !w.is_finite()).for_each(|w| *w = 0.0);
    Ok(())
}

/// What a row becomes in a type.
pub(super) fn round(ty: TensorType, row: &[f32], importance: Option<&[f32]>, out: &mut [f32]) {
    let mut bytes = vec![0; row.len() / ty.block_len() * ty.block_bytes()];
    encode(ty, row, importance, &mut bytes);
    with_block!(ty, B => blocks::decode(blocks::from_bytes::<B>(&bytes), out), else out.fill(0.0));
}

fn squares(x: &[f32], importance: Option<&[f32]>) -> f64 {
    let square = |x: &f32| f64::from(*x) * f64::from(*x);
    match importance {
        Some(all) => x.iter().zip(all).map(|(x, &importance)| f64::from(importance) * square(x)).sum(),
        None => x.iter().map(square).sum(),
    }
}
