//! What is written: read back, pinned byte by byte, or refused.

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

/// Keys that are known in the end only, and what a run that goes on is told of a tensor.
#[test]
fn values_may_be_amended_and_notes_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.gguf");
    let specs = [spec("t", &[4], TensorType::I8), spec("u", &[40], TensorType::I8)];
    let keys = |number: f32| {
        let mut keys = Metadata::default();
        keys.set("first", "as it is");
        keys.set("number", number);
        keys
    };
    let begin = || Writer::recoverable(&path, &keys(0.0), &specs, Fingerprint::default()).unwrap();
    let mut writer = begin();
    writer.note("of t".to_owned());
    writer.write(&[1; 4]).unwrap();
    assert_eq!(writer.n_left(), 1);
    writer.write(&[2; 20]).unwrap();
    writer.keep();
    let mut writer = begin();
    assert_eq!((writer.recover().unwrap().as_deref(), writer.recover().unwrap()), (Some("of t"), None));
    writer.write(&[2; 40]).unwrap();
    writer.amend(&keys(2.5)).unwrap();
    // Killed now, all is there still.
    writer.keep();
    let mut writer = begin();
    assert_eq!(
        (writer.recover().unwrap().as_deref(), writer.recover().unwrap().as_deref()),
        (Some("of t"), Some(""))
    );
    writer.amend(&keys(2.5)).unwrap();
    writer.finish().unwrap();
    let file = File::open(&path).unwrap();
    assert_eq!(
        (file.metadata().float("number"), file.metadata().str("first")),
        (Ok(Some(2.5)), Ok(Some("as it is")))
    );
    assert_eq!(file.bytes(&file.tensors()[1]), [2; 40]);
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
