//! Whole conversions: of checkpoints that are right in unusual ways, and of those that are wrong in each way that there
//! is.

mod bad_hugging_face;
mod bad_input;
mod hugging_face;
mod llama3;
mod resumed;
mod vocabulary;

use crate::fixture::{self, Tensor};
use crate::{ChatTemplate, Error, Options, convert};
use quantize::{Cancelled, FileType, Monitor, Recipe};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempDir;

const OPTIONS: Options = Options {
    recipe: Recipe::new(FileType::F32),
    imatrix: None,
    chat_template: ChatTemplate::Auto,
    check_template: |_| Ok(()),
    context_length: None,
    verify: true,
    work: quantize::Work { max_ram_bytes: None, resume: false, allow_nonfinite: false, measure: false },
};

/// A checkpoint in `novel`, and an empty folder `out` beside it.
struct Bench {
    home: TempDir,
}

impl Bench {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        let bench = Self { home };
        fs::create_dir(bench.folder()).unwrap();
        fs::create_dir(bench.out()).unwrap();
        fixture::write(&bench.folder());
        bench
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("novel")
    }

    fn out(&self) -> PathBuf {
        self.home.path().join("out")
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.folder().join(name), bytes).unwrap();
    }

    fn shard(&self, tensors: &[Tensor]) {
        self.put("consolidated.00.pth", fixture::save(tensors));
    }

    fn convert(&self, options: &Options) -> Result<gguf::File, Error> {
        let output = self.out().join("model.gguf");
        convert(&self.folder(), Some(&output), options, &())?;
        Ok(gguf::File::open(output).unwrap())
    }

    fn left(&self) -> usize {
        fs::read_dir(self.out()).unwrap().count()
    }
}

const SHARD: &str = "consolidated.00.pth";
const ZEROS: &str = "00000000000000000000000000000000";

/// Names, shapes and bytes.
fn contents(file: &gguf::File) -> Vec<(String, Vec<u64>, Vec<u8>)> {
    let tensors = file.tensors().iter();
    tensors.map(|tensor| (tensor.name.clone(), tensor.shape.clone(), file.bytes(tensor).to_vec())).collect()
}

fn find<'a>(tensors: &'a mut [Tensor], name: &str) -> &'a mut Tensor {
    tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
}

/// Part `i` of `n` of a contiguous f32 matrix.
fn part(tensor: &Tensor, axis: usize, i: usize, n: usize) -> Tensor {
    let (rows, cols) = (tensor.shape[0], tensor.shape[1]);
    let value = |row: usize, col: usize| {
        let at = (row * cols + col) * 4;
        f32::from_le_bytes(tensor.bytes[at..at + 4].try_into().unwrap())
    };
    let mut shape = [rows, cols];
    shape[axis] /= n;
    let start = [(axis == 0) as usize * i * shape[0], (axis == 1) as usize * i * shape[1]];
    let cells = (0..shape[0]).flat_map(|row| (0..shape[1]).map(move |col| (row, col)));
    Tensor::new(tensor.name, &shape, cells.map(|(row, col)| value(start[0] + row, start[1] + col)))
}

/// The tensors of each of `n` shards. `embedding`: the axis along which the embedding is split.
fn split_tensors(tensors: &[Tensor], n: usize, embedding: usize) -> Vec<Vec<Tensor>> {
    let shard = |i| {
        let part = |tensor: &Tensor| match tensor.name {
            _ if tensor.shape.len() == 1 => tensor.clone(),
            "tok_embeddings.weight" => part(tensor, embedding, i, n),
            name if name.ends_with("wo.weight") || name.ends_with("w2.weight") => part(tensor, 1, i, n),
            _ => part(tensor, 0, i, n),
        };
        tensors.iter().map(part).collect()
    };
    (0..n).map(shard).collect()
}

/// Puts shards in the place of the one file.
fn split(bench: &Bench, n: usize, embedding: usize) {
    for (i, parts) in split_tensors(&fixture::tensors(), n, embedding).iter().enumerate() {
        bench.put(&format!("consolidated.{i:02}.pth"), fixture::save(parts));
    }
}

#[test]
fn shards_and_views_give_the_same_bytes() {
    let whole = Bench::new();
    let expected = contents(&whole.convert(&OPTIONS).unwrap());
    assert_eq!(expected.len(), 12);
    assert_eq!(expected[0].0, "token_embd.weight");
    assert_eq!(expected[0].1, [8, 10]);
    assert_eq!(expected[0].2, fixture::tensors()[0].bytes);

    for embedding in [0, 1] {
        let bench = Bench::new();
        split(&bench, 2, embedding);
        assert!(
            contents(&bench.convert(&OPTIONS).unwrap()) == expected,
            "embedding split along axis {embedding}"
        );
    }

    // wq transposed in its storage; w3 at an offset in w1's; a table that the model computes, of a type that nobody reads.
    let bench = Bench::new();
    let mut tensors = fixture::tensors();
    let wq = find(&mut tensors, "layers.0.attention.wq.weight");
    let transposed: Vec<u8> =
        (0..64).flat_map(|i| wq.bytes[(i % 8 * 8 + i / 8) * 4..][..4].to_vec()).collect();
    (wq.bytes, wq.strides) = (transposed, vec![1, 8]);
    let w3 = std::mem::take(&mut find(&mut tensors, "layers.0.feed_forward.w3.weight").bytes);
    let w1 = tensors.iter().position(|tensor| tensor.name.contains("w1")).unwrap();
    tensors[w1].bytes.extend(w3);
    tensors[w1].n_declared = 192;
    let w3 = find(&mut tensors, "layers.0.feed_forward.w3.weight");
    (w3.shares, w3.offset, w3.n_declared) = (Some(w1), 96, 192);
    let mut freqs = Tensor::new("rope.freqs", &[2], [1.0, 2.0]);
    freqs.storage = "ComplexFloatStorage";
    tensors.push(freqs);
    bench.shard(&tensors);
    assert!(contents(&bench.convert(&OPTIONS).unwrap()) == expected);
}

#[test]
fn halves_become_what_they_are() {
    for (storage, file_type) in [("HalfStorage", FileType::F16), ("BFloat16Storage", FileType::Bf16)] {
        let bench = Bench::new();
        let mut tensors = fixture::tensors();
        // Bits of all kinds, subnormal and negative among them; no exponent is full.
        let mut bits = 1u16;
        for tensor in &mut tensors {
            tensor.storage = storage;
            tensor.bytes = (0..tensor.n_declared)
                .flat_map(|_| {
                    bits = bits.wrapping_mul(25173).wrapping_add(13849);
                    (bits & 0xbbff).to_le_bytes()
                })
                .collect();
        }
        bench.shard(&tensors);
        let file = bench.convert(&Options { recipe: file_type.into(), ..OPTIONS }).unwrap();
        let [embedding, q] =
            ["token_embd.weight", "blk.0.attn_q.weight"].map(|name| file.tensor(name).unwrap());
        assert_eq!(file.bytes(embedding), tensors[0].bytes, "{storage}");
        assert_eq!(file.bytes(q), tensors[3].bytes, "{storage}");
    }
}

#[test]
fn keys_say_what_was_found() {
    let bench = Bench::new();
    let file = bench
        .convert(&Options { context_length: Some(77), chat_template: ChatTemplate::Llama2, ..OPTIONS })
        .unwrap();
    let expected = [
        ("llama.vocab_size", 10),
        ("llama.context_length", 77),
        ("llama.embedding_length", 8),
        ("llama.block_count", 1),
        ("llama.feed_forward_length", 12),
        ("llama.attention.head_count", 2),
        ("llama.attention.head_count_kv", 1),
        ("llama.rope.dimension_count", 4),
        ("tokenizer.ggml.bos_token_id", 1),
    ];
    for (key, value) in expected {
        assert_eq!(file.metadata().uint(key).unwrap(), Some(value), "{key}");
    }
    assert_eq!(file.metadata().float("llama.rope.freq_base").unwrap(), Some(10000.0));
    assert_eq!(
        file.metadata().strings("tokenizer.ggml.tokens").unwrap().unwrap().get(2),
        Some(b"c".as_slice())
    );
    assert_eq!(file.metadata().str("tokenizer.chat_template").unwrap(), Some(crate::LLAMA2_CHAT_TEMPLATE));
}

#[test]
fn a_wrong_sum_can_be_overruled_and_a_right_one_passes() {
    let bench = Bench::new();
    bench.put("checklist.chk", format!("{ZEROS}  {SHARD}\n"));
    bench.convert(&Options { verify: false, ..OPTIONS }).unwrap();

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = bench.out().join("novel.gguf");
    let options = Options { recipe: FileType::Q4_0.into(), ..OPTIONS };
    let notes = Notes::default();
    let summary = convert(&root.join("tests/models/novel-8m"), Some(&output), &options, &notes).unwrap();
    assert_eq!(summary.output_bytes, fs::metadata(&output).unwrap().len());
    let notes = notes.0.into_inner().unwrap().join("\n");
    assert!(notes.contains("context length: 2048") && notes.contains("chat template: none"), "{notes}");
    assert!(!notes.contains("MD5"), "all files are listed: {notes}");
}

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

/// Stops at the first bytes.
struct Stop;

impl Monitor for Stop {
    fn start(&self, _total_bytes: u64) {}

    fn advance(&self, _n_bytes: u64) -> Result<(), Cancelled> {
        Err(Cancelled)
    }

    fn note(&self, _text: &str) {}
}

#[test]
fn what_stands_at_the_output_survives_an_interruption() {
    let bench = Bench::new();
    let output = bench.out().join("model.gguf");
    fs::write(&output, "older").unwrap();
    let stopped = convert(&bench.folder(), Some(&output), &OPTIONS, &Stop).unwrap_err();
    assert!(matches!(stopped, Error::Cancelled(_)), "{stopped}");
    assert_eq!(fs::read(&output).unwrap(), b"older");
    assert_eq!(bench.left(), 1);
}

#[test]
fn an_input_is_never_the_output() {
    let bench = Bench::new();
    let shard = bench.folder().join(SHARD);
    let before = fs::read(&shard).unwrap();
    let error = convert(&bench.folder(), Some(&shard), &OPTIONS, &()).unwrap_err().to_string();
    assert!(error.contains(SHARD) && error.contains("another output"), "{error}");
    assert_eq!(fs::read(&shard).unwrap(), before);

    let nowhere = bench.home.path().join("nowhere/model.gguf");
    let error = convert(&bench.folder(), Some(&nowhere), &OPTIONS, &()).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
}
