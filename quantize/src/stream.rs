//! A file's tensors as blocks of other types, one after the other.

use crate::encode::processor;
use crate::tensor_stream::first_not_finite;
use crate::{Error, Imatrix, Matrix, Monitor, TensorStream};
use blocks::{Block, TensorType, with_block};
use gguf::{TensorInfo, TensorSpec};
use std::ops::Range;

/// How many bytes of a tensor that stays as it is are written at once: progress moves, and the user can stop it.
const COPY_BYTES: usize = 4 << 20;

/// Writes every tensor that is not there yet, in the input's order.
pub(crate) fn write(
    stream: &mut TensorStream,
    input: &gguf::File,
    specs: &[TensorSpec],
    imatrix: Option<&Imatrix>,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    monitor.start(input.tensors().iter().map(|tensor| tensor.n_bytes).sum());
    for (tensor, spec) in input.tensors().iter().zip(specs) {
        if stream.recover(tensor.n_bytes, monitor)? {
            continue;
        }
        let importance = imatrix.and_then(|imatrix| imatrix.importance(&tensor.name));
        write_tensor(stream, input, tensor, spec.ty, importance.as_deref(), monitor)?;
    }
    Ok(())
}

/// Writes a tensor as blocks of `ty`.
pub(crate) fn write_tensor(
    stream: &mut TensorStream,
    input: &gguf::File,
    tensor: &TensorInfo,
    ty: TensorType,
    importance: Option<&[f32]>,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    if stays(tensor, ty) {
        for piece in input.bytes(tensor).chunks(COPY_BYTES) {
            stream.copy(piece)?;
            monitor.advance(piece.len() as u64)?;
        }
        return Ok(());
    }
    let matrix =
        Matrix { name: &tensor.name, ty, n_cols: tensor.n_cols(), n_rows: tensor.n_rows(), importance };
    with_block!(tensor.ty, B => encode::<B>(stream, input, tensor, &matrix, monitor),
        else Err(Error::NoDecoder { tensor: tensor.name.clone(), ty: tensor.ty }))
}

/// Rows of a tensor.
///
/// # Errors
/// If it has no decoder, or a weight is NaN or infinite.
pub(crate) fn floats(
    input: &gguf::File,
    tensor: &TensorInfo,
    rows: Range<usize>,
    out: &mut [f32],
) -> Result<(), Error> {
    let n_cols = tensor.n_cols() as usize;
    with_block!(tensor.ty, B => {
        let per_row = n_cols / B::LEN;
        let blocks = &blocks::from_bytes::<B>(input.bytes(tensor))[rows.start * per_row..rows.end * per_row];
        blocks::decode(blocks, out);
    }, else return Err(Error::NoDecoder { tensor: tensor.name.clone(), ty: tensor.ty }));
    match first_not_finite(out) {
        None => Ok(()),
        Some(at) => Err(Error::NotFinite {
            tensor: tensor.name.clone(),
            row: (rows.start + at / n_cols) as u64,
            col: at % n_cols,
            value: out[at],
        }),
    }
}

/// Whether a tensor's bytes are copied. Plain numbers of the same type are not: passing them through the encoder changes
/// no bit and finds those that are NaN.
pub(crate) fn stays(tensor: &TensorInfo, ty: TensorType) -> bool {
    tensor.ty == ty && (ty.is_quantized() || with_block!(ty, _B => false, else true))
}

/// Streams a tensor whose blocks are `B`s.
fn encode<B: Block>(
    stream: &mut TensorStream,
    input: &gguf::File,
    tensor: &TensorInfo,
    matrix: &Matrix<'_>,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let blocks = blocks::from_bytes::<B>(input.bytes(tensor));
    let blocks_per_row = tensor.n_cols() as usize / B::LEN;
    stream.tensor(matrix, |rows, floats| {
        let blocks = &blocks[rows.start as usize * blocks_per_row..rows.end as usize * blocks_per_row];
        processor::run(
            #[inline(always)]
            || blocks::decode(blocks, floats),
        );
        Ok(monitor.advance(size_of_val(blocks) as u64)?)
    })
}
