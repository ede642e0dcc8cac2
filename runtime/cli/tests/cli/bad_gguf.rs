//! GGUF files that cannot be used. Headers are written by hand, byte by byte: no writer of ours would make them.

use crate::{Bad, arg, check_bad, model, succeed};
use gguf::{File, TensorSpec, Value, Writer};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const U32: u32 = 4;
const STRING: u32 = 8;
const UINT64_TYPE_OF_NO_TENSOR: u32 = 4; // once Q4_2, long removed

/// A file as it will be written, right or wrong.
#[derive(Clone)]
struct Draft {
    n_tensors: u64,
    n_keys: u64,
    keys: Vec<u8>,
    tensors: Vec<u8>,
    n_data_bytes: usize,
}

impl Draft {
    /// A sound file: one key, two tensors of 8 floats.
    fn sound() -> Self {
        let mut draft =
            Self { n_tensors: 0, n_keys: 0, keys: Vec::new(), tensors: Vec::new(), n_data_bytes: 64 };
        draft.key("general.architecture", STRING, &text("llama"));
        draft.tensor("a", &[8], 0, 0);
        draft.tensor("b", &[8], 0, 32);
        draft
    }

    fn key(&mut self, name: &str, ty: u32, value: &[u8]) -> &mut Self {
        self.n_keys += 1;
        self.keys.extend([&text(name), &ty.to_le_bytes()[..], value].concat());
        self
    }

    fn tensor(&mut self, name: &str, shape: &[u64], ty: u32, offset: u64) -> &mut Self {
        self.n_tensors += 1;
        self.tensors.extend(text(name));
        self.tensors.extend((shape.len() as u32).to_le_bytes());
        self.tensors.extend(shape.iter().flat_map(|n| n.to_le_bytes()));
        self.tensors.extend(ty.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self
    }

    fn header(&self) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(self.n_tensors.to_le_bytes());
        bytes.extend(self.n_keys.to_le_bytes());
        bytes.extend(&self.keys);
        bytes.extend(&self.tensors);
        bytes
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header();
        bytes.resize(bytes.len().next_multiple_of(32) + self.n_data_bytes, 0);
        bytes
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// Draws up a sound file and spoils it.
fn spoil(change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = Draft::sound();
    change(&mut draft);
    draft.bytes()
}

#[test]
fn a_bad_header_gets_a_sentence() {
    let alignment = |n: u32| spoil(|draft| _ = draft.key("general.alignment", U32, &n.to_le_bytes()));
    let tensor = |shape: &[u64], ty, offset| {
        let mut draft = Draft::sound();
        draft.tensor("c", shape, ty, offset).bytes()
    };
    let cases: &[(&str, Vec<u8>, &[&str])] = &[
        ("empty file", Vec::new(), &["empty"]),
        ("web page", b"<!DOCTYPE html><html>404</html>".to_vec(), &["byte 0", "magic"]),
        ("2^63 tensors", spoil(|draft| draft.n_tensors = 1 << 63), &["byte 8", "number of tensors"]),
        ("2^63 keys", spoil(|draft| draft.n_keys = 1 << 63), &["byte 16", "number of metadata keys"]),
        ("tensor past the end", tensor(&[1 << 40], 0, 64), &["byte", "tensor `c`"]),
        ("shape that overflows", tensor(&[1 << 40, 1 << 40], 0, 64), &["byte", "tensor `c`"]),
        ("overlapping tensors", tensor(&[8], 0, 32), &["byte", "overlaps", "`b`"]),
        ("tensor named twice", spoil(|draft| _ = draft.tensor("a", &[8], 0, 64)), &["byte", "`a`", "twice"]),
        (
            "key named twice",
            spoil(|draft| _ = draft.key("general.architecture", STRING, &text("llama"))),
            &["byte", "`general.architecture`", "twice"],
        ),
        ("alignment 0", alignment(0), &["byte", "general.alignment"]),
        ("alignment 3", alignment(3), &["byte", "general.alignment"]),
        ("unknown type", tensor(&[8], UINT64_TYPE_OF_NO_TENSOR, 64), &["byte", "tensor `c`", "type 4"]),
        ("type of the far future", tensor(&[8], u32::MAX, 64), &["byte", "tensor `c`"]),
        ("part of a block", tensor(&[8], 2, 64), &["byte", "tensor `c`"]),
        ("unknown metadata type", spoil(|draft| _ = draft.key("k", 99, &[])), &["byte", "`k`"]),
    ];
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("bad.gguf");
    for (case, bytes, says) in cases {
        std::fs::write(&file, bytes).expect("it writes");
        let says = [&["bad.gguf"], *says].concat();
        for command in ["inspect", "plan"] {
            check_bad(&Bad { case, args: &[command, arg(&file)], status: 1, says: &says });
        }
    }
    std::fs::write(&file, Draft::sound().bytes()).expect("it writes");
    succeed(["inspect", arg(&file), "--tensors", "--verify"]);
}

#[test]
fn a_header_cut_at_any_byte_gets_a_sentence() {
    let bytes = Draft::sound().bytes();
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("cut.gguf");
    for len in 0..bytes.len() {
        std::fs::write(&file, &bytes[..len]).expect("it writes");
        let error = File::open(&file).expect_err("it is not whole").to_string();
        assert!(error.contains("cut.gguf"), "{len}: {error}");
        // A process for each would only measure how fast processes start.
        if len % 16 == 0 {
            let case = format!("cut after {len} bytes");
            check_bad(&Bad {
                case: &case,
                args: &["inspect", arg(&file)],
                status: 1,
                says: &["cut.gguf", "byte"],
            });
        }
    }
}

#[test]
fn a_model_that_cannot_run_gets_a_sentence() {
    let set = |key: &'static str, value: Value| (key, value);
    let cases = [
        set("llama.block_count", Value::from("eight")),
        set("llama.attention.head_count", Value::U32(3)),
        set("llama.attention.head_count", Value::U32(0)),
        set("llama.attention.head_count_kv", Value::U32(3)),
        set("llama.attention.layer_norm_rms_epsilon", Value::U32(1)),
        set("llama.embedding_length", Value::U64(u64::MAX)),
        set("llama.block_count", Value::U32(u32::MAX)),
        set("llama.context_length", Value::U32(0)),
        set("general.architecture", Value::from("mamba")),
        set("llama.expert_count", Value::U32(8)),
        set("tokenizer.ggml.tokens", Value::U32(4096)),
        set("tokenizer.ggml.bos_token_id", Value::U32(4096)),
    ];
    let model = model("q8_0");
    let folder = TempDir::new().expect("a folder");
    for (index, (key, value)) in cases.into_iter().enumerate() {
        let case = format!("{key} = {value:?}");
        let file = folder.path().join(format!("bad-{index}.gguf"));
        rewrite(&model, &file, key, value);
        // The architecture's own keys may be spoken of by what they stand for.
        let name = file.file_name().and_then(|name| name.to_str()).expect("our own name");
        for command in [&["plan"][..], &["run", "-n", "1", "-p", "a"]] {
            let args = [command, &[arg(&file)]].concat();
            check_bad(&Bad { case: &case, args: &args, status: 1, says: &[name] });
        }
        succeed(["inspect", arg(&file)]);
    }
}

/// Copies a file with one key changed.
fn rewrite(from: &Path, to: &PathBuf, key: &str, value: Value) {
    let file = File::open(from).expect("our own file");
    let mut metadata = file.metadata().clone();
    metadata.set(key, value);
    let spec = |tensor: &gguf::TensorInfo| TensorSpec {
        name: tensor.name.clone(),
        shape: tensor.shape.clone(),
        ty: tensor.ty,
    };
    let specs: Vec<_> = file.tensors().iter().map(spec).collect();
    let mut writer = Writer::create(to, &metadata, &specs).expect("there is room");
    for tensor in file.tensors() {
        writer.write(file.bytes(tensor)).expect("there is room");
    }
    writer.finish().expect("there is room");
}
