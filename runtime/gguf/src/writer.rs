//! Writes a GGUF v3 in one pass: the header first, then the tensors' bytes in order.

#![forbid(unsafe_code)]

use crate::error::Shown;
use crate::foreign::MAGIC;
use crate::layout::{self, ALIGNMENT_KEY, MAX_KEY_BYTES, align_up, check_name};
use crate::{Error, Metadata, Output, TensorInfo, wire};
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
}

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
        let mut plan = Plan::new(metadata, tensors)
            .map_err(|problem| Error::Unwritable { path: path.to_owned(), problem })?;
        let mut output = Output::create(path, plan.total_bytes)?;
        output.write(&plan.header)?;
        plan.sizes.reverse();
        let mut writer = Self { output, pending: plan.sizes };
        writer.pad(plan.header_padding)?;
        Ok(writer)
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
            self.pad(padding)?;
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

    fn pad(&mut self, mut n_bytes: u64) -> Result<(), Error> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while n_bytes > 0 {
            let step = n_bytes.min(ZEROS.len() as u64);
            self.output.write(&ZEROS[..step as usize])?;
            n_bytes -= step;
        }
        Ok(())
    }
}

/// A file before it is written: its header, and how its data will lie.
struct Plan {
    header: Vec<u8>,
    header_padding: u64,
    /// Of each tensor: bytes of data, bytes of padding behind it. The last is padded too, as llama.cpp expects.
    sizes: Vec<(u64, u64)>,
    total_bytes: u64,
}

impl Plan {
    fn new(metadata: &Metadata, tensors: &[TensorSpec]) -> Result<Self, String> {
        let alignment =
            layout::alignment(metadata).map_err(|problem| format!("key `{ALIGNMENT_KEY}`: {problem}"))?;
        let mut header = Vec::new();
        header.extend(MAGIC);
        header.extend(VERSION.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata.iter() {
            check_name(key, MAX_KEY_BYTES).map_err(|problem| format!("key `{}`: {problem}", Shown(key)))?;
            wire::write_string(key.as_bytes(), &mut header);
            wire::write(value, &mut header);
        }

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
        Ok(Self { header, header_padding: total_bytes - data_bytes - header_bytes, sizes, total_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{File, Strings, Value};

    /// One value of each type that there is.
    fn every_value() -> Metadata {
        let mut metadata = Metadata::default();
        let values: [Value; 26] = [
            u8::MAX.into(),
            i8::MIN.into(),
            u16::MAX.into(),
            i16::MIN.into(),
            u32::MAX.into(),
            i32::MIN.into(),
            f32::MIN_POSITIVE.into(),
            true.into(),
            "text \u{1F999}".into(),
            u64::MAX.into(),
            i64::MIN.into(),
            f64::MAX.into(),
            Value::String(vec![0xff, 0]),
            vec![0u8, 255].into(),
            vec![-1i8].into(),
            vec![u16::MAX].into(),
            vec![i16::MIN].into(),
            vec![u32::MAX].into(),
            vec![i32::MIN].into(),
            vec![f32::INFINITY, -0.0].into(),
            vec![true, false].into(),
            Strings::from_iter([&b"<s>"[..], b"", b"\xff"]).into(),
            vec![u64::MAX].into(),
            vec![i64::MIN].into(),
            vec![f64::EPSILON].into(),
            Vec::<f32>::new().into(),
        ];
        for (index, value) in values.into_iter().enumerate() {
            metadata.set(format!("test.{index}"), value);
        }
        metadata
    }

    fn spec(name: &str, shape: &[u64], ty: TensorType) -> TensorSpec {
        TensorSpec { name: name.into(), shape: shape.into(), ty }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.gguf");
        for alignment in [None, Some(1u32), Some(32), Some(8192)] {
            let mut metadata = every_value();
            if let Some(alignment) = alignment {
                metadata.set(ALIGNMENT_KEY, alignment);
            }
            let specs: Vec<_> = TensorType::all()
                .enumerate()
                .map(|(index, ty)| spec(ty.name(), &[ty.block_len() as u64 * 3, 1 + index as u64 % 3, 1], ty))
                .collect();
            let data = |index: usize| vec![index as u8 + 1; specs[index].n_bytes().unwrap() as usize];

            let mut writer = Writer::create(&path, &metadata, &specs).unwrap();
            for index in 0..specs.len() {
                let data = data(index);
                let (first, second) = data.split_at(index % data.len());
                writer.write(first).unwrap();
                writer.write(second).unwrap();
            }
            writer.finish().unwrap();

            let file = File::open(&path).unwrap();
            let expected_alignment = alignment.map_or(32, u64::from);
            assert_eq!((file.version(), file.alignment()), (3, expected_alignment));
            assert_eq!(file.metadata(), &metadata);
            assert_eq!(file.tensors().iter().map(TensorSpec::from).collect::<Vec<_>>(), specs);
            for (index, info) in file.tensors().iter().enumerate() {
                assert_eq!(file.tensor(&info.name), Some(info));
                assert_eq!(info.offset % expected_alignment, 0, "{}", info.name);
                assert_eq!(file.bytes(info), data(index), "{}", info.name);
            }
            assert_eq!(file.tensor("absent"), None);
            assert_eq!(file.n_bytes(), total_bytes(&metadata, &specs));
        }
    }

    #[test]
    fn the_bytes_are_gguf() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.gguf");
        let mut metadata = Metadata::default();
        metadata.set("general.alignment", 8u32);
        metadata.set("a", Strings::from_iter(["x", "yz"]));
        let specs = [spec("t", &[3, 1], TensorType::F16), spec("u", &[32], TensorType::Q4_0)];
        let mut writer = Writer::create(&path, &metadata, &specs).unwrap();
        writer.write(b"tensor").unwrap();
        writer.write(&[0xAB; 18]).unwrap();
        writer.finish().unwrap();

        let mut expected = Vec::new();
        for part in [
            &b"GGUF\x03\0\0\0"[..],
            b"\x02\0\0\0\0\0\0\0", // tensors
            b"\x02\0\0\0\0\0\0\0", // keys
            b"\x11\0\0\0\0\0\0\0general.alignment\x04\0\0\0\x08\0\0\0",
            b"\x01\0\0\0\0\0\0\0a\x09\0\0\0\x08\0\0\0\x02\0\0\0\0\0\0\0",
            b"\x01\0\0\0\0\0\0\0x\x02\0\0\0\0\0\0\0yz",
            b"\x01\0\0\0\0\0\0\0t\x02\0\0\0\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0",
            b"\x01\0\0\0\0\0\0\0u\x01\0\0\0\x20\0\0\0\0\0\0\0\x02\0\0\0\x08\0\0\0\0\0\0\0",
            b"\0", // 175 bytes before it
            b"tensor\0\0",
            &[0xAB; 18],
            &[0; 6],
        ] {
            expected.extend_from_slice(part);
        }
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        assert_eq!(total_bytes(&metadata, &specs), expected.len() as u64);
    }

    #[test]
    fn what_no_reader_takes_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.gguf");
        let ty = TensorType::Q4_0;
        let metadata = |key: &str, value: Value| {
            let mut metadata = Metadata::default();
            metadata.set(key, value);
            metadata
        };
        let long = "n".repeat(64);
        for (metadata, specs, says) in [
            (metadata("", 1u8.into()), vec![], "key ``: it is empty"),
            (metadata("general.alignment", 3u32.into()), vec![], "3 is no power of two"),
            (metadata("general.alignment", 32u64.into()), vec![], "found u64, expected u32"),
            (Metadata::default(), vec![spec("", &[32], ty)], "tensor ``: it is empty"),
            (Metadata::default(), vec![spec(&long, &[32], ty)], "it has 64 bytes, more than 63"),
            (Metadata::default(), vec![spec("t", &[32], ty); 2], "tensor `t`: the name is given twice"),
            (
                Metadata::default(),
                vec![spec("t", &[33], ty)],
                "its rows of 33 weights are no whole blocks: Q4_0 has 32",
            ),
            (Metadata::default(), vec![spec("t", &[], ty)], "it has 0 dimensions"),
            (Metadata::default(), vec![spec("t", &[32, 0], ty)], "has an empty dimension"),
            (Metadata::default(), vec![spec("t", &[32, 1 << 62], ty)], "is too big"),
            (
                Metadata::default(),
                vec![spec("t", &[1 << 63], TensorType::I8), spec("u", &[1 << 63], TensorType::I8)],
                "tensor `u`: the file's bytes do not fit 64 bits",
            ),
        ] {
            assert_eq!(total_bytes(&metadata, &specs), u64::MAX, "{says}");
            let error = Writer::create(&path, &metadata, &specs).unwrap_err();
            assert!(matches!(error, Error::Unwritable { .. }) && error.to_string().contains(says), "{error}");
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    fn one_tensor(write: impl FnOnce(&mut Writer)) {
        let folder = tempfile::tempdir().unwrap();
        let specs = [spec("t", &[4], TensorType::I8), spec("u", &[4], TensorType::I8)];
        let mut writer = Writer::create(folder.path().join("t.gguf"), &Metadata::default(), &specs).unwrap();
        write(&mut writer);
        writer.finish().unwrap();
    }

    #[test]
    #[should_panic(expected = "bytes of one tensor in one call")]
    fn a_call_belongs_to_one_tensor() {
        one_tensor(|writer| writer.write(&[0; 5]).unwrap());
    }

    #[test]
    #[should_panic(expected = "1 tensors lack data")]
    fn every_tensor_needs_its_bytes() {
        one_tensor(|writer| writer.write(&[0; 4]).unwrap());
    }

    #[test]
    #[should_panic(expected = "a tensor that was announced")]
    fn no_bytes_but_the_tensors() {
        one_tensor(|writer| (0..3).for_each(|_| writer.write(&[0; 4]).unwrap()));
    }
}
