//! Llama 3's originals: the vocabulary out of ranks, and a small checkpoint of Llama 3.2's kind.

use super::vocabulary::data;
use super::{Bench, OPTIONS, contents, find, split_tensors};
use crate::fixture::{self, Tensor};
use crate::tokenizer::{self, Release};
use crate::{LLAMA3_CHAT_TEMPLATE, convert};
use std::fs;
use std::path::PathBuf;

/// The bytes of a token as GPT-2's table writes them, by its definition: visible bytes first, then the others.
fn bytes_of(text: &str) -> Vec<u8> {
    let is_visible = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let hidden: Vec<u8> = (0..=255).filter(|&byte| !is_visible(byte)).collect();
    let byte = |c: char| match u32::from(c) {
        code @ ..256 => code as u8,
        code => hidden[code as usize - 256],
    };
    text.chars().map(byte).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let quad = |three: &[u8]| {
        let bits = three.iter().chain(&[0; 2]).take(3).fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        let digit = |i: usize| match i <= three.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * i)) as usize & 63]),
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(quad).collect()
}

/// The file of these tokens.
fn tiktoken<T: AsRef<[u8]>>(tokens: impl IntoIterator<Item = T>) -> String {
    let line = |(rank, token): (usize, T)| format!("{} {rank}\n", base64(token.as_ref()));
    tokens.into_iter().enumerate().map(line).collect()
}

fn bytes_and(more: &[&str]) -> Vec<Vec<u8>> {
    let more = more.iter().map(|token| token.as_bytes().to_vec());
    (0..=u8::MAX).map(|byte| vec![byte]).chain(more).collect()
}

#[test]
fn llama_3s_tokenizer_is_llama_cpps_vector() {
    const N_RANKS: usize = 128_000;
    let vector = data().join("vocab/ggml-vocab-llama-bpe.gguf");
    if !vector.exists() {
        println!("not run: {} is missing; LLAMITA_TEST_DATA names its folder", vector.display());
        return;
    }
    let theirs = gguf::File::open(vector).unwrap();
    let tokens = theirs.metadata().strings("tokenizer.ggml.tokens").unwrap().unwrap();
    let token = |id: usize| bytes_of(str::from_utf8(tokens.get(id).unwrap()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.model");
    fs::write(&path, tiktoken((0..N_RANKS).map(token))).unwrap();

    let mut ours = gguf::Metadata::default();
    let release = Release { later: false, instruct: false };
    tokenizer::read_meta(&path, 128_256, release).unwrap().describe(&mut ours);
    let merges = ours.strings("tokenizer.ggml.merges").unwrap().unwrap();
    assert_eq!(merges.len(), 280_147);
    let mut n_compared = 0;
    for (key, value) in theirs.metadata().iter().filter(|(key, _)| key.starts_with("tokenizer.ggml.")) {
        assert!(ours.get(key) == Some(value), "{key}");
        n_compared += 1;
    }
    assert!(n_compared >= 7, "model, pre, tokens, types, merges and two ids: {n_compared} keys");
}

#[test]
fn merges_go_by_what_they_make_then_by_their_halves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.model");
    // `xxx` comes about in two ways; `xy` is no token, so that `xy ` comes about in one.
    fs::write(&path, tiktoken(bytes_and(&["xx", "xxx", "y ", "xy "]))).unwrap();
    for (later, instruct, eos, eom) in [(false, false, 261, None), (true, true, 269, Some(268))] {
        let mut keys = gguf::Metadata::default();
        tokenizer::read_meta(&path, 260 + 256, Release { later, instruct }).unwrap().describe(&mut keys);
        let merges: Vec<_> = keys.strings("tokenizer.ggml.merges").unwrap().unwrap().iter().collect();
        let expected = ["x x", "x xx", "xx x", "y Ġ", "x yĠ"];
        assert_eq!(merges, expected.map(str::as_bytes));
        let id = |name: &str| keys.uint(&format!("tokenizer.ggml.{name}_token_id")).unwrap();
        assert_eq!([id("bos"), id("eos"), id("eot"), id("eom")], [Some(260), Some(eos), Some(269), eom]);
    }
}

#[test]
fn a_bad_tiktoken_file_is_refused_with_its_line() {
    let all = bytes_and(&["ab"]);
    let sound = tiktoken(&all);
    let cases: [(&str, String, &[&str]); 9] = [
        ("a rank left out", sound.replace(" 9\n", " 10\n"), &["line 10", "`10`", "not 9"]),
        ("no base64", sound.replace("Cg== 10\n", "C*== 10\n"), &["line 11", "base64"]),
        ("three words", sound.replace(" 7\n", " 7 7\n"), &["line 8"]),
        ("a word", sound.replace(" 7\n", "\n"), &["line 8"]),
        ("an empty line", sound.replace("\nCg== 10\n", "\n\nCg== 10\n"), &["line 11"]),
        ("an empty token", sound.clone() + " 257\n", &["line 258", "0 bytes"]),
        ("a long token", sound.clone() + &base64(&[b'x'; 129]) + " 257\n", &["line 258", "129 bytes"]),
        ("a token twice", sound.clone() + "Cg== 257\n", &["line 258", "line 11"]),
        ("a byte missing", tiktoken(&all[..255]), &["0xff"]),
    ];
    for (what, text, said) in cases {
        let bench = Bench::new();
        bench.put("tokenizer.model", text);
        let error = bench.convert(&OPTIONS).expect_err(what).to_string();
        for part in said.iter().chain(&["tokenizer.model"]) {
            assert!(error.contains(part), "{what}: `{part}` is not in: {error}");
        }
        assert_eq!(bench.left(), 0, "{what}");
    }
}

/// Dim 32 in two heads, so that the frequencies of a head of 16 lie on both sides of the stretching, and 520 tokens.
fn tensors() -> Vec<Tensor> {
    let shapes: [(&'static str, &[usize]); 12] = [
        ("tok_embeddings.weight", &[520, 32]),
        ("norm.weight", &[32]),
        ("output.weight", &[520, 32]),
        ("layers.0.attention.wq.weight", &[32, 32]),
        ("layers.0.attention.wk.weight", &[16, 32]),
        ("layers.0.attention.wv.weight", &[16, 32]),
        ("layers.0.attention.wo.weight", &[32, 32]),
        ("layers.0.feed_forward.w1.weight", &[48, 32]),
        ("layers.0.feed_forward.w2.weight", &[32, 48]),
        ("layers.0.feed_forward.w3.weight", &[48, 32]),
        ("layers.0.attention_norm.weight", &[32]),
        ("layers.0.ffn_norm.weight", &[32]),
    ];
    let mut bits = 1u32;
    let mut next = || {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (bits >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut tensors =
        shapes.map(|(name, shape)| Tensor::new(name, shape, (0..shape.iter().product()).map(|_| next())));
    let embedding = tensors[0].bytes.clone();
    tensors[2].bytes = embedding;
    tensors.to_vec()
}

const PARAMS: &str = r#"{"dim": 32, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "vocab_size": 520, "norm_eps": 1e-05,
    "rope_theta": 500000.0, "use_scaled_rope": true}"#;

/// A folder with everything but the shards.
fn folder(bench: &Bench) -> PathBuf {
    let folder = bench.home.path().join("Llama-3.2-1B-Instruct/original");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("params.json"), PARAMS).unwrap();
    let words = ["ab", "abc", " a", "bc", "cd", "abcd", " ab", " abc"];
    fs::write(folder.join("tokenizer.model"), tiktoken(bytes_and(&words))).unwrap();
    folder
}

/// The file of these tensors, in `n` shards.
fn made(bench: &Bench, n: usize, tensors: &[Tensor]) -> gguf::File {
    let folder = folder(bench);
    for (i, parts) in split_tensors(tensors, n, 0).iter().enumerate() {
        fs::write(folder.join(format!("consolidated.{i:02}.pth")), fixture::save(parts)).unwrap();
    }
    let output = bench.out().join("model.gguf");
    convert(&folder, Some(&output), &OPTIONS, &()).unwrap();
    gguf::File::open(output).unwrap()
}

/// The file of a small Llama 3.2, and its home.
pub(super) fn small() -> (Bench, gguf::File) {
    let bench = Bench::new();
    let file = made(&bench, 2, &tensors());
    (bench, file)
}

#[test]
fn a_small_llama_3_2_converts() {
    let tensors = tensors();
    let bench = Bench::new();
    let whole = contents(&made(&bench, 1, &tensors));
    let (_home, file) = small();
    assert!(contents(&file) == whole, "two files give what one gives");

    // The embedding once.
    assert!(file.tensor("output.weight").is_none());
    assert_eq!(file.bytes(file.tensor("token_embd.weight").unwrap()), tensors[0].bytes);
    assert_eq!(file.tensors().len(), 12, "eleven tensors and the factors");
    let keys = file.metadata();
    assert_eq!(keys.uint("llama.context_length").unwrap(), Some(131_072));
    assert_eq!(keys.uint("tokenizer.ggml.eos_token_id").unwrap(), Some(264 + 9));
    assert_eq!(keys.str("general.name").unwrap(), Some("Llama-3.2-1B-Instruct"));
    assert_eq!(keys.str("tokenizer.chat_template").unwrap(), Some(LLAMA3_CHAT_TEMPLATE));

    // Meta's rule in Meta's words: wavelengths against the context's quarter and the context.
    let factors = file.tensor("rope_freqs.weight").unwrap();
    assert_eq!(factors.shape, [8]);
    let bytes = file.bytes(factors).as_chunks::<4>().0;
    for (i, &bytes) in bytes.iter().enumerate() {
        let wavelength = std::f64::consts::TAU * 500_000f64.powf(2.0 * i as f64 / 16.0);
        let expected = if wavelength < 8192.0 / 4.0 {
            1.0
        } else if wavelength > 8192.0 {
            32.0
        } else {
            let smooth = (8192.0 / wavelength - 1.0) / (4.0 - 1.0);
            1.0 / ((1.0 - smooth) / 32.0 + smooth)
        };
        let found = f64::from(f32::from_le_bytes(bytes));
        assert!((found / expected - 1.0).abs() < 1e-6, "pair {i}: {found} for {expected}");
    }

    // One number of the last row makes the output matrix one of its own.
    let mut tensors = tensors;
    find(&mut tensors, "output.weight").bytes[519 * 32 * 4] ^= 1;
    let file = made(&bench, 2, &tensors);
    assert_eq!(file.bytes(file.tensor("output.weight").unwrap()), tensors[2].bytes);
}
