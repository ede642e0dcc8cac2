//! What stands before the tensors' data, read from bytes that may be anything.

#![forbid(unsafe_code)]

use crate::cursor::{CUT, Cursor};
use crate::error::{Problem, Shown};
use crate::foreign::{MAGIC, describe};
use crate::layout::{self, ALIGNMENT_KEY, MAX_DIMS, MAX_KEY_BYTES, align_up};
use crate::{Metadata, TensorInfo, wire};
use blocks::TensorType;
use std::collections::HashMap;
use std::fmt::Display;

/// Keys of a file. Models have under a hundred; each costs about 130 bytes here and may take 14 in the file, so this
/// keeps what is kept of them within 32 MiB.
const MAX_KEYS: u64 = 1 << 18;
/// Tensors of a file. The largest mixture of experts has about 50 000; each costs about 250 bytes.
const MAX_TENSORS: u64 = 1 << 17;
/// Bytes of a header. The largest vocabularies take 20 MB; a damaged length must not copy gigabytes of weights.
const MAX_HEADER_BYTES: usize = 256 << 20;
/// The least that a key takes: its length, one byte, its value's type, one byte.
const MIN_KEY_BYTES: u64 = 8 + 1 + 4 + 1;
/// The least that a tensor takes: the length of its name, one byte, one dimension, its type, its offset.
const MIN_TENSOR_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// A header that has been checked against the whole file.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) alignment: u64,
    pub(crate) metadata: Metadata,
    pub(crate) tensors: Vec<TensorInfo>,
    /// Where each tensor stands in `tensors`.
    pub(crate) by_name: HashMap<Box<str>, u32>,
}

/// Reads and checks the header of a file of these bytes.
pub(crate) fn parse(file: &[u8]) -> Result<Header, Problem> {
    let mut cursor = Cursor::new(&file[..file.len().min(MAX_HEADER_BYTES)]);
    let version = preamble(file, &mut cursor)?;
    let n_tensors = cursor.count(&"number of tensors", MIN_TENSOR_BYTES, MAX_TENSORS)?;
    let n_keys = cursor.count(&"number of metadata keys", MIN_KEY_BYTES, MAX_KEYS)?;
    let (metadata, alignment) = keys(&mut cursor, n_keys)?;
    let Tensors { mut infos, by_name, offsets_at } = tensors(&mut cursor, n_tensors)?;
    place(&mut infos, &offsets_at, cursor.offset(), alignment, file.len() as u64)?;
    Ok(Header { version, alignment, metadata, tensors: infos, by_name })
}

/// Magic and version.
fn preamble(file: &[u8], cursor: &mut Cursor<'_>) -> Result<u32, Problem> {
    if file.is_empty() {
        return Err(Problem::at(0, "magic", "the file is empty: download or convert it again"));
    }
    if !file.starts_with(&MAGIC[..file.len().min(MAGIC.len())]) {
        return Err(Problem::at(0, "magic", describe(file)));
    }
    cursor.take(MAGIC.len() as u64, &"magic")?;
    let at = cursor.offset();
    let problem = match cursor.u32(&"version")? {
        version @ (2 | 3) => return Ok(version),
        1 => "GGUF version 1 (August 2023) is no longer read: convert the original checkpoint again".into(),
        // A small number, read from the wrong end.
        swapped if swapped != 0 && swapped & 0xffff == 0 => {
            "this is a big-endian GGUF, made for other machines: get the little-endian one".into()
        }
        version => format!("GGUF version {version} is unknown: versions 2 and 3 are read"),
    };
    Err(Problem::at(at, "version", problem))
}

/// The metadata, and the alignment that it asks for.
fn keys(cursor: &mut Cursor<'_>, n_keys: usize) -> Result<(Metadata, u64), Problem> {
    let mut metadata = Metadata::with_capacity(n_keys);
    let mut alignment_at = 0;
    for index in 0..n_keys {
        let at = cursor.offset();
        let key = name(cursor, &format_args!("name of metadata key {index}"), MAX_KEY_BYTES)?;
        let field = format_args!("metadata key `{}`", Shown(&key));
        if metadata.get(&key).is_some() {
            return Err(Problem::at(at, field, "the key stands twice in the file"));
        }
        if key == ALIGNMENT_KEY {
            alignment_at = cursor.offset();
        }
        let value = wire::read(cursor, &field)?;
        metadata.set(key, value);
    }
    let alignment = layout::alignment(&metadata).map_err(|problem| {
        Problem::at(alignment_at, format_args!("metadata key `{ALIGNMENT_KEY}`"), problem)
    })?;
    Ok((metadata, alignment))
}

/// What is declared of the tensors.
struct Tensors {
    /// Their offsets still count from the start of the data.
    infos: Vec<TensorInfo>,
    by_name: HashMap<Box<str>, u32>,
    /// Where the file says each offset, for messages.
    offsets_at: Vec<u64>,
}

fn tensors(cursor: &mut Cursor<'_>, n_tensors: usize) -> Result<Tensors, Problem> {
    let mut infos = Vec::with_capacity(n_tensors);
    let mut by_name = HashMap::with_capacity(n_tensors);
    let mut offsets_at = Vec::with_capacity(n_tensors);
    for index in 0..n_tensors as u32 {
        let at = cursor.offset();
        let name = name(cursor, &format_args!("name of tensor {index}"), MAX_KEY_BYTES)?;
        let field = format_args!("tensor `{}`", Shown(&name));
        if by_name.insert(name.as_str().into(), index).is_some() {
            return Err(Problem::at(at, field, "a tensor of this name stands twice in the file"));
        }
        let shape_at = cursor.offset();
        let n_dims = cursor.u32(&field)?;
        if n_dims as usize > MAX_DIMS {
            return Err(Problem::at(
                shape_at,
                field,
                format!("it has {n_dims} dimensions, not 1 to {MAX_DIMS}"),
            ));
        }
        let shape = (0..n_dims).map(|_| cursor.u64(&field)).collect::<Result<Vec<_>, _>>()?;
        let type_at = cursor.offset();
        let ty = TensorType::try_from(cursor.u32(&field)?).map_err(|unknown| {
            Problem::at(
                type_at,
                field,
                format!("{unknown}: the file is damaged, or of a type that is not yet or no longer in use"),
            )
        })?;
        let n_bytes =
            layout::tensor_bytes(ty, &shape).map_err(|problem| Problem::at(shape_at, field, problem))?;
        offsets_at.push(cursor.offset());
        let offset = cursor.u64(&field)?;
        infos.push(TensorInfo { name, shape, ty, offset, n_bytes });
    }
    Ok(Tensors { infos, by_name, offsets_at })
}

/// Makes the tensors' offsets count from the start of the file, and checks that each lies aligned inside the file and
/// that no two share a byte.
fn place(
    tensors: &mut [TensorInfo],
    offsets_at: &[u64],
    header_bytes: u64,
    alignment: u64,
    file_bytes: u64,
) -> Result<(), Problem> {
    for (tensor, &at) in tensors.iter_mut().zip(offsets_at) {
        let fail =
            |problem: String| Problem::at(at, format_args!("tensor `{}`", Shown(&tensor.name)), problem);
        if !tensor.offset.is_multiple_of(alignment) {
            return Err(fail(format!(
                "its offset {} is no multiple of the alignment {alignment}",
                tensor.offset
            )));
        }
        let start = align_up(header_bytes, alignment).and_then(|data| data.checked_add(tensor.offset));
        let end = start.and_then(|start| start.checked_add(tensor.n_bytes));
        let (Some(start), Some(end)) = (start, end) else {
            return Err(fail(format!(
                "its offset {} does not fit 64 bits: the file is damaged",
                tensor.offset
            )));
        };
        if end > file_bytes {
            return Err(fail(format!(
                "its data ends at byte {end}, but the file has {file_bytes} bytes: {CUT}"
            )));
        }
        tensor.offset = start;
    }

    let mut by_offset: Vec<usize> = (0..tensors.len()).collect();
    by_offset.sort_unstable_by_key(|&index| tensors[index].offset);
    for pair in by_offset.windows(2) {
        let (first, second) = (&tensors[pair[0]], &tensors[pair[1]]);
        if first.offset + first.n_bytes > second.offset {
            let field = format_args!("tensor `{}`", Shown(&second.name));
            let problem = format!("its data overlaps that of `{}`: the file is damaged", Shown(&first.name));
            return Err(Problem::at(offsets_at[pair[1]], field, problem));
        }
    }
    Ok(())
}

/// A key or a tensor's name.
fn name(cursor: &mut Cursor<'_>, field: &dyn Display, max_bytes: usize) -> Result<String, Problem> {
    let at = cursor.offset();
    let bytes = cursor.string(field)?;
    if bytes.len() > max_bytes {
        return Err(Problem::at(at, field, format!("it has {} bytes, more than {max_bytes}", bytes.len())));
    }
    // Copied first, then checked: the map may change under a check.
    let name = String::from_utf8(bytes.to_vec()).map_err(|error| {
        let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
        Problem::at(at, field, format!("`{}` is no UTF-8: the file is damaged", Shown(&shown)))
    })?;
    layout::check_name(&name, max_bytes).map_err(|problem| Problem::at(at, field, problem))?;
    Ok(name)
}

#[cfg(test)]
mod tests;
