//! Each way in which a checkpoint can be wrong: a sentence with its place, and nothing left behind.

use super::{Bench, OPTIONS, SHARD, ZEROS, split};
use crate::fixture::{self, PARAMS, Pickle, Tensor};
use std::fs;

/// Breaks a checkpoint; the sentence has to name these.
type Case = (&'static str, fn(&Bench), &'static [&'static str]);

const CASES: &[Case] = &[
    ("empty file", |b| b.put(SHARD, ""), &[SHARD, "empty"]),
    ("web page", |b| b.put(SHARD, "<!DOCTYPE html><html>Forbidden</html>"), &[SHARD, "web page"]),
    (
        "git's pointer",
        |b| b.put(SHARD, "version https://git-lfs.github.com/spec/v1\n"),
        &[SHARD, "git lfs pull"],
    ),
    (
        "old format",
        |b| b.put(SHARD, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."),
        &[SHARD, "before version 1.6"],
    ),
    (
        "os.system",
        |b| b.put(SHARD, fixture::save_pickled(b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.", &[])),
        &[SHARD, "at byte 48", "os.system", "Nothing of it was run"],
    ),
    (
        "builtins.eval in a tensor's place",
        |b| {
            let pickle = Pickle::state_dict(&fixture::tensors()).0;
            let at = pickle.windows(5).position(|w| w == b"ctorc").unwrap();
            let pickle = [&pickle[..at], b"cbuiltins\neval\n", &pickle[at..]].concat();
            b.put(SHARD, fixture::save_pickled(&pickle, &fixture::tensors()));
        },
        &[SHARD, "at byte", "builtins.eval"],
    ),
    (
        "a storage shorter than its view",
        |b| {
            let mut tensors = fixture::tensors();
            tensors[3].bytes.truncate(100);
            b.shard(&tensors);
        },
        &[SHARD, "layers.0.attention.wq.weight", "has 25", "damaged"],
    ),
    (
        "a view past its storage",
        |b| {
            let mut tensors = fixture::tensors();
            tensors[3].offset = 1;
            b.shard(&tensors);
        },
        &[SHARD, "layers.0.attention.wq.weight", "does not fit"],
    ),
    (
        "strides that overflow",
        |b| {
            let mut tensors = fixture::tensors();
            tensors[3].strides = vec![i64::MAX as usize, 1];
            b.shard(&tensors);
        },
        &[SHARD, "layers.0.attention.wq.weight", "does not fit"],
    ),
    (
        "strides of zero",
        |b| {
            let mut tensors = fixture::tensors();
            (tensors[3].shape, tensors[3].strides) = (vec![1 << 40, 1 << 20], vec![0, 0]);
            b.shard(&tensors);
        },
        &[SHARD, "layers.0.attention.wq.weight", "does not fit"],
    ),
    (
        "more dimensions than a tensor has",
        |b| {
            let mut tensors = fixture::tensors();
            (tensors[3].shape, tensors[3].strides) = (vec![1; 1000], vec![1; 1000]);
            b.shard(&tensors);
        },
        &[SHARD, "at byte", "1000 dimensions"],
    ),
    (
        "a type that is no weight's",
        |b| {
            let mut tensors = fixture::tensors();
            tensors[3].storage = "DoubleStorage";
            b.shard(&tensors);
        },
        &[SHARD, "layers.0.attention.wq.weight", "DoubleStorage"],
    ),
    (
        "not a number",
        |b| {
            let mut tensors = fixture::tensors();
            tensors[3].bytes[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
            b.shard(&tensors);
        },
        &[SHARD, "layers.0.attention.wq.weight", "row 0, column 2", "NaN"],
    ),
    (
        "a tensor missing",
        |b| b.shard(&fixture::tensors()[..11]),
        &[SHARD, "layers.0.ffn_norm.weight", "missing"],
    ),
    (
        "a tensor too many",
        |b| {
            let mut tensors = fixture::tensors();
            tensors.push(Tensor::new("layers.0.attention.wq.bias", &[8], [0.0; 8]));
            b.shard(&tensors);
        },
        &[SHARD, "layers.0.attention.wq.bias"],
    ),
    (
        "a layer too many",
        |b| {
            let mut tensors = fixture::tensors();
            tensors.push(Tensor::new("layers.1.ffn_norm.weight", &[8], [0.0; 8]));
            b.shard(&tensors);
        },
        &[SHARD, "layers.1.ffn_norm.weight", "n_layers"],
    ),
    (
        "Hugging Face's names",
        |b| b.shard(&[Tensor::new("model.norm.weight", &[1], [0.0])]),
        &[SHARD, "Hugging Face"],
    ),
    (
        "a shard missing in the middle",
        |b| b.put("consolidated.02.pth", "x"),
        &["consolidated.01.pth", "missing"],
    ),
    (
        "a storage whose name a terminal obeys",
        |b| {
            let tensors = fixture::tensors();
            let mut pickle = Pickle::state_dict(&tensors).0;
            let key = pickle.windows(6).position(|part| part == b"X\x01\0\0\x000").unwrap() + 5;
            pickle[key] = 0x1b;
            b.put(SHARD, fixture::save_pickled(&pickle, &tensors));
        },
        &[SHARD, r"no entry data/\u{1b}, which"],
    ),
    (
        "a name as long as the pickle",
        |b| {
            b.put(
                SHARD,
                fixture::save_pickled(&[b"\x80\x02ctorch\n", &[b'x'; 9000][..], b"\n."].concat(), &[]),
            )
        },
        &[SHARD, "byte", "`torch.xxx", "…`"],
    ),
    (
        "a listed shard missing",
        |b| b.put("checklist.chk", format!("{ZEROS}  consolidated.01.pth\n")),
        &["consolidated.01.pth", "missing"],
    ),
    (
        "the last shard missing",
        |b| {
            split(b, 2, 1);
            fs::remove_file(b.folder().join("consolidated.01.pth")).unwrap();
        },
        &[SHARD, "tok_embeddings.weight", "takes 2 files", "consolidated.01.pth"],
    ),
    (
        "shards of different shape",
        |b| {
            split(b, 2, 1);
            b.put("consolidated.01.pth", fixture::save(&fixture::tensors()));
        },
        &["consolidated.01.pth", "tok_embeddings.weight", "[10, 8]", "[10, 4]", SHARD],
    ),
    (
        "a wrong sum",
        |b| b.put("checklist.chk", format!("{ZEROS}  {SHARD}\n")),
        &[SHARD, "MD5", ZEROS, "--no-verify"],
    ),
    (
        "a wrong sum of a small file",
        |b| b.put("checklist.chk", format!("{ZEROS}  params.json\n")),
        &["params.json", "MD5"],
    ),
    ("a broken list", |b| b.put("checklist.chk", "# sums\n"), &["checklist.chk", "line 1"]),
    (
        "params.json missing",
        |b| fs::remove_file(b.folder().join("params.json")).unwrap(),
        &["params.json", "missing"],
    ),
    (
        "params.json broken",
        |b| b.put("params.json", "{\"dim\": 8,\n \"n_layers\" 1}"),
        &["params.json", "line 2"],
    ),
    ("params.json is no object", |b| b.put("params.json", "[1]"), &["params.json", "line 1"]),
    ("dim negative", |b| b.put("params.json", PARAMS.replace("8", "-8")), &["params.json", "`dim`", "-8"]),
    (
        "dim of another model",
        |b| b.put("params.json", PARAMS.replace("8", "16")),
        &["tok_embeddings.weight", "16"],
    ),
    (
        "layers huge",
        |b| b.put("params.json", PARAMS.replace("rs\": 1", "rs\": 99999999999999999999")),
        &["params.json", "`n_layers`"],
    ),
    (
        "vocabulary huge",
        |b| b.put("params.json", PARAMS.replace("-1", "4000000000000")),
        &["params.json", "`vocab_size`"],
    ),
    (
        "vocabulary of another model",
        |b| b.put("params.json", PARAMS.replace("-1", "11")),
        &["params.json", "`vocab_size`", "11", "10 rows"],
    ),
    (
        "no heads",
        |b| b.put("params.json", PARAMS.replace("n_heads\": 2", "n_heads\": 0")),
        &["params.json", "`n_heads`"],
    ),
    (
        "heads that do not divide",
        |b| b.put("params.json", PARAMS.replace("n_heads\": 2", "n_heads\": 3")),
        &["params.json", "`n_heads`"],
    ),
    (
        "key heads that do not divide",
        |b| b.put("params.json", PARAMS.replace("kv_heads\": 1", "kv_heads\": 4")),
        &["params.json", "`n_kv_heads`"],
    ),
    (
        "an epsilon that is not a number",
        |b| b.put("params.json", PARAMS.replace("1e-05", "NaN")),
        &["params.json", "line 1"],
    ),
    (
        "an epsilon beyond numbers",
        |b| b.put("params.json", PARAMS.replace("1e-05", "1e999")),
        &["params.json", "line 1"],
    ),
    (
        "an epsilon below zero",
        |b| b.put("params.json", PARAMS.replace("1e-05", "-1e-05")),
        &["params.json", "`norm_eps`"],
    ),
    (
        "a scaled rope that is no choice",
        |b| b.put("params.json", PARAMS.replace("{", "{\"use_scaled_rope\": 8, ")),
        &["params.json", "`use_scaled_rope`", "8 is neither"],
    ),
    (
        "tokenizer missing",
        |b| fs::remove_file(b.folder().join("tokenizer.model")).unwrap(),
        &["tokenizer.model", "missing", "parent"],
    ),
    (
        "tokenizer with fewer tokens than rows",
        |b| b.put("tokenizer.model", fixture::tokenizer(9)),
        &["tokenizer.model", "9 tokens", "10 rows"],
    ),
    (
        "tokenizer with more",
        |b| b.put("tokenizer.model", fixture::tokenizer(11)),
        &["tokenizer.model", "11 tokens"],
    ),
    (
        "no token for what is unknown, and none for bytes",
        // The trainer's settings: unk_id, whose key takes two bytes, is -1, which takes ten.
        |b| {
            let mut tokenizer = fixture::tokenizer(10);
            tokenizer.extend([0x12, 14, 0x18, 2, 0xc0, 2]);
            tokenizer.extend([&[0xff; 9][..], &[1]].concat());
            b.put("tokenizer.model", tokenizer);
        },
        &["tokenizer.model", "neither an unknown token nor one for the byte 0x00"],
    ),
    (
        "tokenizer of Llama 3",
        |b| b.put("tokenizer.model", "IQ== 0\nIg== 1\n"),
        &["tokenizer.model", "0x00", "Llama 3"],
    ),
    ("no checkpoint", |b| fs::remove_file(b.folder().join(SHARD)).unwrap(), &["novel", SHARD]),
    (
        "Hugging Face's layout",
        |b| {
            fs::remove_file(b.folder().join(SHARD)).unwrap();
            b.put("config.json", "{}");
        },
        &["novel", "Hugging Face"],
    ),
];

#[test]
fn what_is_wrong_is_a_sentence_and_leaves_nothing() {
    for (what, spoil, said) in CASES {
        let bench = Bench::new();
        spoil(&bench);
        refuse(&bench, what, said);
    }
}

fn refuse(bench: &Bench, what: &str, said: &[&str]) {
    let error = bench.convert(&OPTIONS).expect_err(what).to_string();
    for part in said {
        assert!(error.contains(part), "{what}: `{part}` is not in: {error}");
    }
    assert!(!error.contains(char::is_control) && error.len() < 1000, "{what}: {error:?}");
    assert_eq!(bench.left(), 0, "{what}: something was left behind");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let shard = fixture::save(&fixture::tensors());
    let bench = Bench::new();
    for n in 0..shard.len() {
        bench.put(SHARD, &shard[..n]);
        refuse(&bench, &format!("{n} of {} bytes", shard.len()), &[SHARD]);
    }
    bench.put(SHARD, shard);
    let tokenizer = fixture::tokenizer(10);
    for n in 0..tokenizer.len() {
        bench.put("tokenizer.model", &tokenizer[..n]);
        refuse(&bench, &format!("{n} bytes of the tokenizer"), &["tokenizer.model"]);
    }
}

/// Whatever a pickle says, the answer is an error or a conversion: no panic, no wait.
#[test]
fn a_pickle_with_any_byte_changed_does_no_harm() {
    let tensors = fixture::tensors();
    let pickle = Pickle::state_dict(&tensors).0;
    let bench = Bench::new();
    for at in 0..pickle.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut pickle = pickle.clone();
            pickle[at] ^= flip;
            bench.put(SHARD, fixture::save_pickled(&pickle, &tensors));
            if bench.convert(&OPTIONS).is_ok() {
                fs::remove_file(bench.out().join("model.gguf")).unwrap();
            }
            assert_eq!(bench.left(), 0, "byte {at}");
        }
    }
}
