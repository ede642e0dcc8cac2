//! Checkpoints that cannot be converted: each case spoils a small sound one in one way.

use crate::{Bad, arg, check_bad, model, succeed};
use llamita_tests::checkpoint::{Dtype, Tensor, write};
use std::path::Path;
use tempfile::TempDir;

const N_VOCAB: usize = 4096;
const DIM: usize = 32;
/// What `params.json` makes of `dim`: 2/3 of 4 × 32, rounded up to a multiple of 32.
const FFN_DIM: usize = 96;
const PARAMS: &str =
    r#"{"dim": 32, "n_layers": 1, "n_heads": 2, "multiple_of": 32, "norm_eps": 1e-5, "vocab_size": -1}"#;

/// A sound checkpoint of one layer in two shards.
fn write_checkpoint(folder: &Path) {
    let tensor = |name: &str, shape: &[usize]| Tensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        values: (0..shape.iter().product()).map(|i: usize| (i % 7) as f32 * 0.01).collect(),
    };
    let tensors = [
        tensor("tok_embeddings.weight", &[N_VOCAB, DIM]),
        tensor("norm.weight", &[DIM]),
        tensor("output.weight", &[N_VOCAB, DIM]),
        tensor("layers.0.attention_norm.weight", &[DIM]),
        tensor("layers.0.attention.wq.weight", &[DIM, DIM]),
        tensor("layers.0.attention.wk.weight", &[DIM, DIM]),
        tensor("layers.0.attention.wv.weight", &[DIM, DIM]),
        tensor("layers.0.attention.wo.weight", &[DIM, DIM]),
        tensor("layers.0.ffn_norm.weight", &[DIM]),
        tensor("layers.0.feed_forward.w1.weight", &[FFN_DIM, DIM]),
        tensor("layers.0.feed_forward.w2.weight", &[DIM, FFN_DIM]),
        tensor("layers.0.feed_forward.w3.weight", &[FFN_DIM, DIM]),
    ];
    let tokenizer = llamita_tests::bundled().join("tokenizer.model");
    write(folder, 2, Dtype::F16, &tensors, PARAMS, &tokenizer).expect("there is room");
}

/// Spoils the checkpoint in a folder.
type Spoil = fn(&Path);

const SECOND: &str = "consolidated.01.pth";

#[test]
fn a_bad_checkpoint_gets_a_sentence() {
    let cases: &[(&str, Spoil, &[&str])] = &[
        ("empty shard", |dir| put(dir, SECOND, b""), &[SECOND, "empty"]),
        (
            "web page in place of a shard",
            |dir| put(dir, SECOND, b"<!DOCTYPE html><html><body>403 Forbidden</body></html>"),
            &[SECOND, "web page"],
        ),
        ("zip cut short", |dir| cut(dir, SECOND, 2), &[SECOND, "end of the file", "cut short"]),
        (
            "pickle that imports a module",
            |dir| swap(dir, SECOND, b"collections\nOrderedDict", b"importlib\nimport_module"),
            &[SECOND, "byte", "importlib", "import_module"],
        ),
        (
            "storage smaller than its view",
            // The shape of the final norm, which no shard splits.
            |dir| swap_after(dir, SECOND, b"norm.weight", b"(J\x20\0\0\0t", b"(J\x40\0\0\0t"),
            &[SECOND, "norm.weight"],
        ),
        ("shard missing", |dir| remove(dir, "consolidated.00.pth"), &["consolidated.00.pth"]),
        (
            "shards of different shape",
            |dir| {
                // One column less in the second shard's view of wq; its storage is large enough.
                swap_after(
                    dir,
                    SECOND,
                    b"attention.wq.weight",
                    b"(J\x10\0\0\0J\x20\0\0\0t",
                    b"(J\x0f\0\0\0J\x20\0\0\0t",
                );
            },
            &[SECOND, "wq.weight"],
        ),
        (
            "wrong checksum",
            |dir| put(dir, "checklist.chk", format!("{:032x}  {SECOND}\n", 0x1234).as_bytes()),
            &[SECOND, "MD5"],
        ),
        ("params.json empty", |dir| put(dir, "params.json", b""), &["params.json", "empty"]),
        ("params.json broken", |dir| put(dir, "params.json", b"{\"dim\": 32,"), &["params.json", "line 1"]),
        ("params.json negative", |dir| params(dir, "\"dim\": 32", "\"dim\": -32"), &["params.json", "dim"]),
        (
            "params.json huge",
            |dir| params(dir, "\"n_layers\": 1", "\"n_layers\": 18446744073709551615"),
            &["params.json", "n_layers"],
        ),
        (
            "heads that do not divide",
            |dir| params(dir, "\"n_heads\": 2", "\"n_heads\": 3"),
            &["params.json", "n_heads"],
        ),
        ("params.json missing", |dir| remove(dir, "params.json"), &["params.json"]),
        ("tokenizer absent", |dir| remove(dir, "tokenizer.model"), &["tokenizer.model"]),
        ("tokenizer empty", |dir| put(dir, "tokenizer.model", b""), &["tokenizer.model", "empty"]),
        ("tokenizer cut short", |dir| cut(dir, "tokenizer.model", 3), &["tokenizer.model"]),
        (
            "fewer tokens than rows",
            |dir| put(dir, "tokenizer.model", &without_a_piece(dir)),
            &["tokenizer.model", "4095", "4096"],
        ),
        ("nothing there", |dir| std::fs::remove_dir_all(dir).expect("it was there"), &["llama"]),
    ];
    for (case, spoil, says) in cases {
        let folder = TempDir::new().expect("a folder");
        let checkpoint = folder.path().join("llama");
        write_checkpoint(&checkpoint);
        spoil(&checkpoint);
        let args = ["convert", arg(&checkpoint), "--type", "f32"];
        check_bad(&Bad { case, args: &args, status: 1, says });
    }
}

#[test]
fn a_bad_chat_template_is_told_before_the_work() {
    let (folder, model) = (TempDir::new().expect("a folder"), model("q8_0"));
    let checkpoint = folder.path().join("llama");
    write_checkpoint(&checkpoint);
    let template = folder.path().join("a.jinja");
    let deep = "(".repeat(50_000);
    let nested = format!("{{{{ {deep}1{} }}}}", ")".repeat(50_000));
    let cases: [(&str, &[u8], &str); 5] = [
        ("no end", b"line\n{% for m in messages %}", "line 2"),
        ("parentheses in parentheses", nested.as_bytes(), "the chat template"),
        ("not UTF-8", b"caf\xe9", "at byte 3"),
        (
            "a loop of a billion",
            b"{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}{% endfor %}{% endfor %}",
            "limits",
        ),
        ("an unknown filter", b"{{ messages|nonesuch }}", "nonesuch"),
    ];
    for (case, text, says) in cases {
        std::fs::write(&template, text).expect("it writes");
        let convert = ["convert", arg(&checkpoint), "--type", "f32", "--chat-template", arg(&template)];
        let chat = ["chat", arg(&model), "--chat-template", arg(&template)];
        for args in [&convert[..], &chat] {
            check_bad(&Bad { case, args, status: 1, says: &["a.jinja", says] });
        }
    }
}

#[test]
fn what_is_spoilt_was_sound() {
    let folder = TempDir::new().expect("a folder");
    let checkpoint = folder.path().join("llama");
    write_checkpoint(&checkpoint);
    let out = folder.path().join("out.gguf");
    succeed(["convert", arg(&checkpoint), "--type", "f32", "-o", arg(&out)]);
    succeed(["inspect", arg(&out), "--verify"]);

    // And a wrong checksum is let pass where that is asked for.
    put(&checkpoint, "checklist.chk", format!("{:032x}  {SECOND}\n", 0x1234).as_bytes());
    succeed(["convert", arg(&checkpoint), "--type", "f32", "-o", arg(&out), "--no-verify"]);
}

fn put(folder: &Path, file: &str, bytes: &[u8]) {
    std::fs::write(folder.join(file), bytes).expect("it writes");
}

fn remove(folder: &Path, file: &str) {
    std::fs::remove_file(folder.join(file)).expect("it was there");
}

/// The tokenizer less its last token. Its file is a protobuf message: fields of a tag, a length and a content, where
/// tag 0x0a is a piece of the vocabulary.
fn without_a_piece(folder: &Path) -> Vec<u8> {
    let bytes = std::fs::read(folder.join("tokenizer.model")).expect("it reads");
    let (mut at, mut last) = (0, 0..0);
    while bytes[at] == 0x0a {
        let len = bytes[at + 1] as usize;
        assert!(len < 128, "a length of one byte");
        last = at..at + 2 + len;
        at = last.end;
    }
    [&bytes[..last.start], &bytes[last.end..]].concat()
}

/// Leaves one part in `n` of a file.
fn cut(folder: &Path, file: &str, n: usize) {
    let bytes = std::fs::read(folder.join(file)).expect("it reads");
    put(folder, file, &bytes[..bytes.len() / n]);
}

fn params(folder: &Path, from: &str, to: &str) {
    assert!(PARAMS.contains(from));
    put(folder, "params.json", PARAMS.replace(from, to).as_bytes());
}

/// Replaces every `from` by as many bytes.
#[track_caller]
fn swap(folder: &Path, file: &str, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(folder.join(file)).expect("it reads");
    let mut n_swapped = 0;
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            n_swapped += 1;
        }
    }
    assert!(n_swapped > 0, "nothing to spoil");
    put(folder, file, &bytes);
}

/// Replaces the first `from` behind the first `mark` by as many bytes.
#[track_caller]
fn swap_after(folder: &Path, file: &str, mark: &[u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(folder.join(file)).expect("it reads");
    let find = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).position(|window| window == part);
    let start = find(&bytes, mark).expect("the mark is there");
    let at = start + find(&bytes[start..], from).expect("there is something to spoil");
    bytes[at..at + to.len()].copy_from_slice(to);
    put(folder, file, &bytes);
}
