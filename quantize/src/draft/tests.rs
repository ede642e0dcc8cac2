//! Small files through the whole path: what they become, and what is left when they cannot.

use super::*;
use crate::{Cancelled, FileType, encode};
use blocks::{TensorType, with_block};
use gguf::{File, TensorInfo, TensorSpec, Writer};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// A model's skeleton: a name, its shape. Rows of 256 weights, but for two that fit no quantized block or only small ones.
const TENSORS: [(&str, &[u64]); 6] = [
    ("token_embd.weight", &[256, 300]),
    ("blk.0.attn_norm.weight", &[256]),
    ("blk.0.attn_q.weight", &[256, 700]),
    ("blk.0.ffn_down.weight", &[288, 5]),
    ("blk.0.odd.weight", &[100, 3]),
    ("output.weight", &[256, 2]),
];

fn weight(index: usize) -> f32 {
    ((index * 7919 % 1009) as f32 - 504.0) / 4096.0
}

fn weights(shape: &[u64]) -> Vec<f32> {
    (0..shape.iter().product::<u64>() as usize).map(weight).collect()
}

/// What the skeleton becomes.
fn specs(file_type: FileType) -> Vec<TensorSpec> {
    let tensors = TENSORS.map(|(name, shape)| Tensor { name, shape, ty: TensorType::F32 });
    Plan::new(&file_type.into(), &Architecture::default(), false, &tensors).unwrap().specs().to_vec()
}

/// Writes the skeleton as `file_type`, its tensors straight from the encoders; `change` may spoil weights.
fn write(
    path: &Path,
    file_type: FileType,
    keys: &[(&str, u32)],
    change: impl Fn(&str, &mut Vec<f32>),
) -> File {
    let mut metadata = Metadata::default();
    metadata.set("general.architecture", "llama");
    metadata.set("general.file_type", file_type.wire());
    keys.iter().for_each(|&(key, value)| metadata.set(key, value));
    metadata.set("last.key", "stays last but for ours");
    let specs = specs(file_type);
    let mut writer = Writer::create(path, &metadata, &specs).unwrap();
    for spec in &specs {
        let mut weights = weights(&spec.shape);
        change(&spec.name, &mut weights);
        let mut bytes = vec![0; spec.n_bytes().unwrap() as usize];
        encode(spec.ty, &weights, None, &mut bytes);
        writer.write(&bytes).unwrap();
    }
    writer.finish().unwrap();
    File::open(path).unwrap()
}

fn decode(file: &File, tensor: &TensorInfo) -> Vec<f32> {
    let mut floats = vec![0.0; tensor.n_elements() as usize];
    with_block!(tensor.ty, B => blocks::decode::<B>(blocks::from_bytes(file.bytes(tensor)), &mut floats), else panic!());
    floats
}

fn options(file_type: FileType, allow_requantize: bool) -> Options {
    Options {
        recipe: file_type.into(),
        target: None,
        imatrix: None,
        calibration: None,
        allow_requantize,
        work: Work::default(),
    }
}

/// Only the input may be in the folder.
fn assert_nothing_left(folder: &TempDir, what: &str) {
    let left: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.ends_with("in.gguf")), "{what}: {left:?}");
}

#[test]
fn every_type_becomes_every_type() {
    let folder = tempfile::tempdir().unwrap();
    for from in FileType::all() {
        let input =
            write(&folder.path().join("in.gguf"), from, &[("general.quantization_version", 1)], |_, _| ());
        for to in FileType::all() {
            let path = folder.path().join("out.gguf");
            let summary = quantize(&input, &path, &options(to, true), &()).unwrap();
            let output = File::open(&path).unwrap();
            assert_eq!((summary.input_bytes, summary.output_bytes), (input.n_bytes(), output.n_bytes()));
            assert_eq!(output.n_bytes(), fs::metadata(&path).unwrap().len());
            for ((input_tensor, tensor), TensorSpec { name, shape, ty }) in
                input.tensors().iter().zip(output.tensors()).zip(specs(to))
            {
                let case = format!("{from} to {to}, {name}");
                assert_eq!((&tensor.name, &tensor.shape, tensor.ty), (&name, &shape, ty), "{case}");
                let bytes = output.bytes(tensor);
                if input_tensor.ty == ty {
                    assert!(
                        bytes == input.bytes(input_tensor),
                        "{case}: a tensor that keeps its type keeps its bytes"
                    );
                } else {
                    let mut expected = vec![0; bytes.len()];
                    encode(ty, &decode(&input, input_tensor), None, &mut expected);
                    assert!(bytes == expected, "{case}: batches and threads must not show");
                }
            }
        }
    }
}

#[test]
fn keys_keep_their_order_and_say_nothing_that_is_not_true_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [("split.count", 1), ("llamita.convert.source_shards", 8)];
    let input = write(&folder.path().join("in.gguf"), FileType::F16, &keys, |_, _| ());
    let path = folder.path().join("out.gguf");
    quantize(&input, &path, &options(FileType::Q4_0, false), &()).unwrap();
    let output = File::open(&path).unwrap();
    let keys: Vec<&str> = output.metadata().iter().map(|(key, _)| key).collect();
    let expected = [
        "general.architecture",
        "general.file_type",
        "split.count",
        "last.key",
        "general.quantization_version",
    ];
    assert_eq!(keys, expected);
    let uint = |key| output.metadata().uint(key).unwrap();
    assert_eq!(uint("general.file_type"), Some(2));
    assert_eq!(uint("general.quantization_version"), Some(2));
}

#[test]
fn what_cannot_be_done_is_a_sentence_and_leaves_nothing() {
    type Change = fn(&str, &mut Vec<f32>);
    let nothing: Change = |_, _| ();
    let spoil_q: Change = |name, weights| {
        if name == "blk.0.attn_q.weight" {
            weights[256 * 600 + 3] = f32::NAN;
            weights[256 * 699] = f32::INFINITY;
        }
    };
    let spoil_norm: Change = |name, weights| {
        if name == "blk.0.attn_norm.weight" {
            weights[9] = f32::NEG_INFINITY;
        }
    };
    for (from, to, keys, change, expected) in [
        (
            FileType::Q8_0,
            FileType::Q4_0,
            &[][..],
            nothing,
            "`token_embd.weight` is Q8_0 already, and as Q4_0 keeps that loss or adds to it",
        ),
        (FileType::Q4_0, FileType::F32, &[], nothing, "allow it with --allow-requantize"),
        (FileType::F32, FileType::Q8_0, &[("split.count", 3)], nothing, "split over 3 files"),
        (
            FileType::F32,
            FileType::Q8_0,
            &[],
            spoil_q,
            "`blk.0.attn_q.weight`, row 600, column 3: the weight is NaN",
        ),
        (
            FileType::F32,
            FileType::F32,
            &[],
            spoil_norm,
            "`blk.0.attn_norm.weight`, row 0, column 9: the weight is -inf",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let input = write(&folder.path().join("in.gguf"), from, keys, change);
        let error = quantize(&input, &folder.path().join("out.gguf"), &options(to, false), &()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_nothing_left(&folder, expected);
    }
}

#[test]
fn a_type_without_a_decoder_is_named_and_an_integer_table_is_copied() {
    for (ty, bytes, expected) in [
        (TensorType::Iq1S, 50, Err("tensor `a.weight` is IQ1_S, which llamita cannot decode")),
        (TensorType::I32, 4 * 256, Ok(())),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.gguf");
        let name = if ty == TensorType::I32 { "a.table" } else { "a.weight" };
        let spec = TensorSpec { name: name.into(), shape: vec![256, 1], ty };
        let mut writer = Writer::create(&path, &Metadata::default(), &[spec]).unwrap();
        writer.write(&vec![7; bytes]).unwrap();
        writer.finish().unwrap();
        let input = File::open(&path).unwrap();
        let output = folder.path().join("out.gguf");
        let result = quantize(&input, &output, &options(FileType::Q4_0, true), &());
        match (result, expected) {
            (Ok(_), Ok(())) => {
                let output = File::open(&output).unwrap();
                assert_eq!(output.bytes(&output.tensors()[0]), vec![7; bytes]);
            }
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
                assert_nothing_left(&folder, expected);
            }
            (result, _) => panic!("{ty}: {result:?}"),
        }
    }
}

#[test]
fn the_input_is_never_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.gguf");
    let input = write(&path, FileType::F16, &[], |_, _| ());
    let before = fs::read(&path).unwrap();
    let link = folder.path().join("link.gguf");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for output in [&path, &link, &folder.path().join(".").join("in.gguf")] {
        let error = quantize(&input, output, &options(FileType::Q8_0, false), &()).unwrap_err();
        assert!(error.to_string().contains("is the input too"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// Counts, and stops after so many bytes.
#[derive(Default)]
struct Counter {
    stop_at: Option<u64>,
    total: AtomicU64,
    done: AtomicU64,
    notes: Mutex<Vec<String>>,
}

impl Monitor for Counter {
    fn start(&self, total_bytes: u64) {
        self.total.store(total_bytes, Ordering::Relaxed);
    }

    fn advance(&self, n_bytes: u64) -> Result<(), Cancelled> {
        let done = self.done.fetch_add(n_bytes, Ordering::Relaxed) + n_bytes;
        if self.stop_at.is_some_and(|stop_at| done >= stop_at) { Err(Cancelled) } else { Ok(()) }
    }

    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.into());
    }
}

#[test]
fn progress_ends_at_the_total_and_a_fallback_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(&folder.path().join("in.gguf"), FileType::F32, &[], |_, _| ());
    let counter = Counter::default();
    quantize(&input, &folder.path().join("out.gguf"), &options(FileType::Q4_0, false), &counter).unwrap();
    let total = counter.total.into_inner();
    assert!(total > 0 && total == counter.done.into_inner());
    let notes = counter.notes.into_inner().unwrap();
    assert!(notes.len() == 1 && notes[0].starts_with("`blk.0.odd.weight` becomes F16"), "{notes:?}");
}

#[test]
fn a_stop_at_any_time_leaves_nothing() {
    for from in [FileType::F32, FileType::Q8_0] {
        for stop_at in [1, 400_000, 1_020_000] {
            let folder = tempfile::tempdir().unwrap();
            let input = write(&folder.path().join("in.gguf"), from, &[], |_, _| ());
            let total: u64 = input.tensors().iter().map(|tensor| tensor.n_bytes).sum();
            let counter = Counter { stop_at: Some(stop_at.min(total)), ..Counter::default() };
            let output = folder.path().join("out.gguf");
            let error = quantize(&input, &output, &options(FileType::Q8_0, false), &counter).unwrap_err();
            assert!(matches!(error, Error::Cancelled(Cancelled)), "{error}");
            assert_nothing_left(&folder, &format!("{from} stopped after {stop_at} bytes"));
        }
    }
}

#[test]
fn what_tensors_lose_is_told_on_demand_and_kept_for_a_run_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(&folder.path().join("in.gguf"), FileType::F32, &[], |_, _| ());
    let output = folder.path().join("out.gguf");
    let mut options = options(FileType::Q8_0, false);
    let unasked = quantize(&input, &output, &options, &()).unwrap();
    assert_eq!(unasked.losses, [None; TENSORS.len()]);
    options.work.measure = true;
    let losses = quantize(&input, &output, &options, &()).unwrap().losses;
    let file = File::open(&output).unwrap();
    for ((tensor, became), loss) in input.tensors().iter().zip(file.tensors()).zip(&losses) {
        let loss = loss.unwrap();
        let mut sums = (0.0, 0.0);
        for (x, became) in decode(&input, tensor).iter().zip(decode(&file, became)) {
            sums = (sums.0 + f64::from(became - x).powi(2), sums.1 + f64::from(*x).powi(2));
        }
        let root = (sums.0 / sums.1).sqrt();
        assert!((loss.weights.root().unwrap() - root).abs() < 1e-6, "{}: {loss:?}, {root}", tensor.name);
        assert_eq!((loss.train, loss.held_out, loss.judgement), (None, None, None));
    }
    // Behind the second tensor, and in the last.
    for stop_at in [400_000, 1_020_000] {
        options.work.resume = true;
        let stops = Counter { stop_at: Some(stop_at), ..Counter::default() };
        assert!(matches!(quantize(&input, &output, &options, &stops), Err(Error::Cancelled(_))));
        let resumed = quantize(&input, &output, &options, &()).unwrap().losses;
        assert_eq!(resumed, losses, "{stop_at}");
    }
}

/// Where they are taken: plain numbers keep their bits, blocks have zeros, and nothing else in the file is another.
#[test]
fn weights_that_are_no_numbers_are_taken_on_demand() {
    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);
    impl Monitor for Notes {
        fn start(&self, _total_bytes: u64) {}
        fn advance(&self, _n_bytes: u64) -> Result<(), Cancelled> {
            Ok(())
        }
        fn note(&self, text: &str) {
            self.0.lock().unwrap().push(text.into());
        }
    }
    let at = [256 * 600 + 3, 256 * 699];
    let set = |values: [f32; 2]| {
        move |name: &str, weights: &mut Vec<f32>| {
            if name == "blk.0.attn_q.weight" {
                at.into_iter().zip(values).for_each(|(at, value)| weights[at] = value);
            }
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let spoilt = write(&folder.path().join("in.gguf"), FileType::F32, &[], set([f32::NAN, f32::INFINITY]));
    let zeroed = write(&folder.path().join("zero.gguf"), FileType::F32, &[], set([0.0; 2]));
    for file_type in [FileType::F32, FileType::Q8_0] {
        let mut options = options(file_type, false);
        options.work.allow_nonfinite = true;
        let notes = Notes::default();
        let output = folder.path().join("out.gguf");
        quantize(&spoilt, &output, &options, &notes).unwrap();
        let notes = notes.0.into_inner().unwrap().join("\n");
        assert!(notes.contains("2 weights are NaN or infinite"), "{notes}");
        let output = File::open(output).unwrap();
        let expected = match file_type.name() {
            "f32" => &spoilt,
            _ => {
                let expected = folder.path().join("expected.gguf");
                quantize(&zeroed, &expected, &options, &()).unwrap();
                &File::open(expected).unwrap()
            }
        };
        for (tensor, expected_tensor) in output.tensors().iter().zip(expected.tensors()) {
            assert!(output.bytes(tensor) == expected.bytes(expected_tensor), "{file_type}: {}", tensor.name);
        }
    }
}
