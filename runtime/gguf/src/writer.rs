//! Writes a GGUF v3 in one pass: the header first, then the tensors' bytes in order.

#![forbid(unsafe_code)]

use crate::error::Shown;
use crate::foreign::MAGIC;
use crate::layout::{self, ALIGNMENT_KEY, MAX_KEY_BYTES, align_up, check_name};
use crate::{Error, Fingerprint, Metadata, Output, TensorInfo, wire};
use blocks::TensorType;
use std::collections::HashSet;
use std::path::Path;

/// The version that is written.
const VERSION: u32 = 3;
/// Length of a tensor's name: llama.cpp keeps names in 64 bytes, a zero among them, and refuses longer ones.
const MAX_NAME_BYTES: usize = 63;

/// A tensor that will be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// As the file will name it.
    pub name: String,
    /// GGUF's order: `shape[0]` is the length of a row.
    pub shape: Vec<u64>,
    /// The type of its blocks.
    pub ty: TensorType,
}

impl TensorSpec {
    /// Bytes of its data, without padding; `None` if the shape is none that a file can have.
    pub fn n_bytes(&self) -> Option<u64> {
        layout::tensor_bytes(self.ty, &self.shape).ok()
    }
}

/// The same tensor, to be written again.
impl From<&TensorInfo> for TensorSpec {
    fn from(info: &TensorInfo) -> Self {
        Self { name: info.name.clone(), shape: info.shape.clone(), ty: info.ty }
    }
}

/// Bytes of the whole file, header and padding included; `u64::MAX` for what [`Writer::create`] refuses.
pub fn total_bytes(metadata: &Metadata, tensors: &[TensorSpec]) -> u64 {
    Plan::new(metadata, tensors).map_or(u64::MAX, |plan| plan.total_bytes)
}

/// A GGUF in the making.
#[derive(Debug)]
pub struct Writer {
    output: Output,
    /// Bytes of data and of the padding behind it, a pair for each tensor that is not complete, the last first.
    pending: Vec<(u64, u64)>,
    /// Goes with the tensor that is being written.
    note: String,
    /// Bytes of the keys and their values; of all that is before the tensors' data.
    keys_bytes: usize,
    header_bytes: u64,
}

/// Where keys begin: behind the magic number, the version and two counts.
const KEYS_AT: u64 = 24;

impl Writer {
    /// Checks that there is room, and writes the header. Nothing stands under `path` until [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`Error::Unwritable`] for names, shapes or an alignment that no reader would take; what [`Output::create`] says.
    pub fn create(
        path: impl AsRef<Path>,
        metadata: &Metadata,
        tensors: &[TensorSpec],
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        let plan = Plan::of(path, metadata, tensors)?;
        Self::start(Output::create(path, plan.total_bytes)?, plan)
    }

    /// The same, for a file that takes long to make: a later run can use what a run that died has finished. `source` is
    /// what the tensors' data follow from; the rest is in the header. Ask [`recover`](Self::recover) before each tensor.
    ///
    /// # Errors
    /// As of [`create`](Self::create).
    pub fn recoverable(
        path: impl AsRef<Path>,
        metadata: &Metadata,
        tensors: &[TensorSpec],
        mut source: Fingerprint,
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        let plan = Plan::of(path, metadata, tensors)?;
        source.add(&plan.header);
        Self::start(Output::recoverable(path, plan.total_bytes, &source)?, plan)
    }

    fn start(output: Output, mut plan: Plan) -> Result<Self, Error> {
        plan.sizes.reverse();
        let header_bytes = plan.header.len() as u64 + plan.header_padding;
        let keys_bytes = plan.keys_bytes;
        let mut writer = Self { output, pending: plan.sizes, note: String::new(), keys_bytes, header_bytes };
        if writer.output.recover(header_bytes)?.is_none() {
            writer.output.write(&plan.header)?;
            writer.end_piece(plan.header_padding)?;
        }
        Ok(writer)
    }

    /// The [`note`](Self::note) of the next tensor if that is there already, whole, from a run before: go on with the one
    /// behind it. After the first that is not there, none is. It is read and hashed, which takes as long as reading takes.
    pub fn recover(&mut self) -> Result<Option<String>, Error> {
        let Some(&(n_bytes, padding)) = self.pending.last() else { return Ok(None) };
        let note = self.output.recover(n_bytes + padding)?;
        if note.is_some() {
            self.pending.pop();
        }
        Ok(note)
    }

    /// What a run that recovers the tensor that comes next, or is not complete yet, shall know of it: a line.
    pub fn note(&mut self, note: String) {
        self.note = note;
    }

    /// Tensors that are not complete.
    pub fn n_left(&self) -> usize {
        self.pending.len()
    }

    /// Writes the keys again, with other values of the same lengths: what is known in the end only.
    ///
    /// # Panics
    /// If they take another number of bytes.
    pub fn amend(&mut self, metadata: &Metadata) -> Result<(), Error> {
        let mut keys = Vec::with_capacity(self.keys_bytes);
        write_keys(metadata, &mut keys);
        assert_eq!(keys.len(), self.keys_bytes, "other keys than the file was begun with");
        self.output.amend(KEYS_AT, &keys, self.header_bytes)
    }

    /// The next bytes of the tensors' data, in the order of `tensors`. A call's bytes belong to one tensor and may
    /// finish it; the next tensor begins with the next call. Padding between tensors is the writer's.
    ///
    /// # Panics
    /// If more bytes come than the current tensor lacks.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let (left, padding) = self.pending.last_mut().expect("bytes for a tensor that was announced");
        *left = left.checked_sub(bytes.len() as u64).expect("bytes of one tensor in one call");
        let done = (*left == 0).then_some(*padding);
        self.output.write(bytes)?;
        if let Some(padding) = done {
            self.pending.pop();
            self.end_piece(padding)?;
        }
        Ok(())
    }

    /// Ends the file: fsync, rename.
    ///
    /// # Panics
    /// If bytes are missing.
    pub fn finish(self) -> Result<(), Error> {
        assert!(self.pending.is_empty(), "{} tensors lack data", self.pending.len());
        self.output.finish()
    }

    /// Ends early, and leaves what was written for a run that resumes; nothing, after [`create`](Self::create).
    pub fn keep(self) {
        self.output.keep();
    }

    /// Header or tensor, with its padding: what is recovered whole or not at all.
    fn end_piece(&mut self, mut padding: u64) -> Result<(), Error> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while padding > 0 {
            let step = padding.min(ZEROS.len() as u64);
            self.output.write(&ZEROS[..step as usize])?;
            padding -= step;
        }
        self.output.seal(&std::mem::take(&mut self.note))
    }
}

fn write_keys(metadata: &Metadata, out: &mut Vec<u8>) {
    for (key, value) in metadata.iter() {
        wire::write_string(key.as_bytes(), out);
        wire::write(value, out);
    }
}

/// A file before it is written: its header, and how its data will lie.
struct Plan {
    header: Vec<u8>,
    header_padding: u64,
    keys_bytes: usize,
    /// Of each tensor: bytes of data, bytes of padding behind it. The last is padded too, as llama.cpp expects.
    sizes: Vec<(u64, u64)>,
    total_bytes: u64,
}

impl Plan {
    fn of(path: &Path, metadata: &Metadata, tensors: &[TensorSpec]) -> Result<Self, Error> {
        Self::new(metadata, tensors).map_err(|problem| Error::Unwritable { path: path.to_owned(), problem })
    }

    fn new(metadata: &Metadata, tensors: &[TensorSpec]) -> Result<Self, String> {
        let alignment =
            layout::alignment(metadata).map_err(|problem| format!("key `{ALIGNMENT_KEY}`: {problem}"))?;
        let mut header = Vec::new();
        header.extend(MAGIC);
        header.extend(VERSION.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((metadata.len() as u64).to_le_bytes());
        for (key, _) in metadata.iter() {
            check_name(key, MAX_KEY_BYTES).map_err(|problem| format!("key `{}`: {problem}", Shown(key)))?;
        }
        debug_assert_eq!(header.len() as u64, KEYS_AT);
        write_keys(metadata, &mut header);
        let keys_bytes = header.len() - KEYS_AT as usize;

        let mut names = HashSet::with_capacity(tensors.len());
        let mut sizes = Vec::with_capacity(tensors.len());
        let mut data_bytes = 0;
        for tensor in tensors {
            let fail = |problem| format!("tensor `{}`: {problem}", Shown(&tensor.name));
            check_name(&tensor.name, MAX_NAME_BYTES).map_err(fail)?;
            if !names.insert(tensor.name.as_str()) {
                return Err(fail("the name is given twice".into()));
            }
            wire::write_string(tensor.name.as_bytes(), &mut header);
            let n_bytes = layout::tensor_bytes(tensor.ty, &tensor.shape).map_err(fail)?;
            header.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().for_each(|dim| header.extend(dim.to_le_bytes()));
            header.extend(tensor.ty.wire().to_le_bytes());
            header.extend(u64::to_le_bytes(data_bytes));
            let padded = align_up(n_bytes, alignment);
            let total = padded.and_then(|padded| padded.checked_add(data_bytes));
            let (Some(padded), Some(total)) = (padded, total) else {
                return Err(fail("the file's bytes do not fit 64 bits".into()));
            };
            sizes.push((n_bytes, padded - n_bytes));
            data_bytes = total;
        }

        let header_bytes = header.len() as u64;
        let data_start = align_up(header_bytes, alignment);
        let total_bytes = data_start.and_then(|start| start.checked_add(data_bytes));
        let total_bytes = total_bytes.ok_or("its bytes do not fit 64 bits")?;
        let header_padding = total_bytes - data_bytes - header_bytes;
        Ok(Self { header, header_padding, keys_bytes, sizes, total_bytes })
    }
}

#[cfg(test)]
mod tests;
