//! A GGUF from one type to another, in a stream.

use crate::{Error, FileType, Matrix, Monitor, TensorStream, Work};
use blocks::{Block, TensorType, with_block};
use gguf::{Fingerprint, TensorInfo, TensorSpec, Value};
use std::path::Path;

/// How many bytes of a tensor that stays as it is are written at once: progress moves, and the user can stop it.
const COPY_BYTES: usize = 4 << 20;

/// What is held for a byte of the header: the keys, the output's keys, the output's header, and what the allocator adds.
const HELD_PER_HEADER_BYTE: u64 = 8;

/// `general.quantization_version`: the layouts that ggml has had since June 2023, and that `runtime/blocks` states.
const QUANTIZATION_VERSION: u32 = 2;

/// How to quantize.
#[derive(Clone, Debug)]
pub struct Options {
    /// The type of the output.
    pub file_type: FileType,
    /// Take quantized tensors as input too: they lose twice.
    pub allow_requantize: bool,
    /// How the file is made.
    pub work: Work,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Bytes of the input file.
    pub input_bytes: u64,
    /// Bytes of the output file.
    pub output_bytes: u64,
}

/// Writes `input` with its matrices as `options` says. Metadata and tensor order are kept; what is no matrix stays as
/// it is, or becomes F32. Everything is checked before anything is written, but for the weights themselves: one that
/// is NaN or infinite is found when it is met. Whatever ends it early, nothing is left at `output`; beside it only what
/// [`Work::resume`] keeps.
pub fn quantize(
    input: &gguf::File,
    output: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Summary, Error> {
    check_paths(input, output)?;
    let metadata = metadata(input, options.file_type)?;
    let specs = plan(input, options, monitor)?;
    let output_bytes = gguf::total_bytes(&metadata, &specs);
    let mut source = Fingerprint::default();
    source.add_file(input.path())?;
    let held_bytes = HELD_PER_HEADER_BYTE * header_bytes(input);
    let mut stream = TensorStream::create(output, &metadata, &specs, source, &options.work, held_bytes)?;
    if let Err(error) = write(&mut stream, input, &specs, monitor) {
        if options.work.resume && error.is_interruption() {
            stream.keep(monitor);
        }
        return Err(error);
    }
    stream.finish(monitor)?;
    Ok(Summary { input_bytes: input.n_bytes(), output_bytes })
}

/// Writes every tensor that is not there yet.
fn write(
    stream: &mut TensorStream,
    input: &gguf::File,
    specs: &[TensorSpec],
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    monitor.start(input.tensors().iter().map(|tensor| tensor.n_bytes).sum());
    for (tensor, spec) in input.tensors().iter().zip(specs) {
        if stream.recover(tensor.n_bytes, monitor)? {
            continue;
        }
        if stays(tensor, spec.ty) {
            for piece in input.bytes(tensor).chunks(COPY_BYTES) {
                stream.copy(piece)?;
                monitor.advance(piece.len() as u64)?;
            }
        } else {
            with_block!(tensor.ty, B => encode::<B>(stream, input, tensor, spec.ty, monitor)?,
                else return Err(Error::NoDecoder { tensor: tensor.name.clone(), ty: tensor.ty }));
        }
    }
    Ok(())
}

/// Bytes of the input that are not tensors.
fn header_bytes(input: &gguf::File) -> u64 {
    let tensors: u64 = input.tensors().iter().map(|tensor| tensor.n_bytes).sum();
    input.n_bytes().saturating_sub(tensors)
}

/// Whether a tensor's bytes are copied. Plain numbers of the same type are not: passing them through the encoder changes
/// no bit and finds those that are NaN.
fn stays(tensor: &TensorInfo, ty: TensorType) -> bool {
    tensor.ty == ty && (ty.is_quantized() || with_block!(ty, _B => false, else true))
}

/// Streams a tensor whose blocks are `B`s.
fn encode<B: Block>(
    stream: &mut TensorStream,
    input: &gguf::File,
    tensor: &TensorInfo,
    ty: TensorType,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let matrix =
        Matrix { name: &tensor.name, ty, n_cols: tensor.n_cols(), n_rows: tensor.n_rows(), importance: None };
    let blocks = blocks::from_bytes::<B>(input.bytes(tensor));
    let blocks_per_row = tensor.n_cols() as usize / B::LEN;
    stream.tensor(&matrix, |rows, floats| {
        let blocks = &blocks[rows.start as usize * blocks_per_row..rows.end as usize * blocks_per_row];
        blocks::decode(blocks, floats);
        Ok(monitor.advance(size_of_val(blocks) as u64)?)
    })
}

/// The type that every tensor gets, in the input's order.
fn plan(input: &gguf::File, options: &Options, monitor: &dyn Monitor) -> Result<Vec<TensorSpec>, Error> {
    let tied = input.tensor("output.weight").is_none();
    let mut specs = Vec::with_capacity(input.tensors().len());
    for TensorInfo { name, shape, ty: from, .. } in input.tensors() {
        let decodes = with_block!(*from, _B => true, else false);
        let is_matrix = FileType::is_quantizable(name, shape);
        let to = options.file_type.tensor_type(name, shape, tied);
        // Tables of integers and the like: no weights, nothing to do with the file's type.
        let to = if is_matrix || decodes { to } else { *from };
        if to != *from {
            if !decodes {
                return Err(Error::NoDecoder { tensor: name.clone(), ty: *from });
            }
            if from.is_quantized() && !options.allow_requantize {
                return Err(Error::Requantize { tensor: name.clone(), from: *from, to });
            }
            if let Some(note) = options.file_type.fallback_note(name, shape, tied) {
                monitor.note(&note);
            }
        }
        specs.push(TensorSpec { name: name.clone(), shape: shape.clone(), ty: to });
    }
    Ok(specs)
}

/// The input's keys with what changes, and where the file comes from.
fn metadata(input: &gguf::File, file_type: FileType) -> Result<gguf::Metadata, Error> {
    let key_error = |source| Error::Key { path: input.path().to_owned(), source };
    let uint = |key: &str| input.metadata().uint(key).map_err(key_error);
    if let Some(n_files) = uint("split.count")?.filter(|&n| n > 1) {
        return Err(Error::Split { path: input.path().to_owned(), n_files });
    }
    let mut metadata = input.metadata().clone();
    if let Some(source) = input.metadata().get("general.file_type") {
        metadata.set("llamita.quantize.source_file_type", source.clone());
    }
    metadata.set("llamita.quantize.version", env!("CARGO_PKG_VERSION"));
    metadata.set("general.file_type", Value::U32(file_type.wire()));
    metadata.set("general.quantization_version", Value::U32(QUANTIZATION_VERSION));
    Ok(metadata)
}

/// Replacing the file that is being read is never what somebody meant.
fn check_paths(input: &gguf::File, output: &Path) -> Result<(), Error> {
    // An output that cannot be resolved does not exist yet.
    match (input.path().canonicalize(), output.canonicalize()) {
        (Ok(input), Ok(same)) if input == same => Err(Error::SameFile(output.to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
