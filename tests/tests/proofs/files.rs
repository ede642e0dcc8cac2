//! Each file type, by both ways that lead to it: directly from the checkpoint, and quantized from the f32 file.

use crate::mixtures::recorded;
use blocks::TensorType;
use gguf::{File, Value};
use llamita_tests::{converted, quantized};
use quantize::FileType;

/// What a reader needs to know of novel-8m, by GGUF's keys; the figures are those of its `params.json`.
const NUMBERS: &[(&str, u64)] = &[
    ("llama.block_count", 8),
    ("llama.embedding_length", 256),
    ("llama.feed_forward_length", 768), // 2/3 of 4 · 256, up to a multiple of 256
    ("llama.attention.head_count", 8),
    ("llama.attention.head_count_kv", 4),
    ("llama.rope.dimension_count", 32),
    ("llama.vocab_size", 4096),
    ("tokenizer.ggml.bos_token_id", 1),
    ("tokenizer.ggml.eos_token_id", 2),
    ("tokenizer.ggml.unknown_token_id", 0),
];

#[track_caller]
fn check_metadata(file: &File, file_type: FileType) {
    let metadata = file.metadata();
    for &(key, expected) in NUMBERS {
        assert_eq!(metadata.uint(key), Ok(Some(expected)), "{}: {key}", file.path().display());
    }
    assert_eq!(metadata.str("general.architecture"), Ok(Some("llama")));
    assert_eq!(metadata.uint("general.file_type"), Ok(Some(file_type.wire().into())));
    assert_eq!(metadata.float("llama.attention.layer_norm_rms_epsilon"), Ok(Some(1e-5)));
    assert!(metadata.uint("llama.context_length").unwrap() > Some(0));
    let quantized = file.tensors().iter().any(|tensor| tensor.ty.is_quantized());
    if quantized {
        assert_eq!(metadata.uint("general.quantization_version"), Ok(Some(2)));
    }
    assert_eq!(metadata.str("tokenizer.ggml.model"), Ok(Some("llama")));
    assert_eq!(metadata.strings("tokenizer.ggml.tokens").unwrap().map(|tokens| tokens.len()), Some(4096));
    assert_eq!(metadata.floats("tokenizer.ggml.scores").unwrap().map(<[f32]>::len), Some(4096));
    assert_eq!(metadata.ints("tokenizer.ggml.token_type").unwrap().map(|types| types.len()), Some(4096));
    assert_eq!(metadata.get("tokenizer.chat_template"), None, "no template that nobody asked for");
}

#[track_caller]
fn check_tensors(file: &File, file_type: FileType) {
    let (n_layers, tensors_of_a_layer, other) = (8, 9, 3);
    assert_eq!(file.tensors().len(), n_layers * tensors_of_a_layer + other);
    // What llama-quantize makes of this model.
    let recorded = recorded(&format!("novel-8m {file_type}"));
    for tensor in file.tensors() {
        let expected = if tensor.shape.len() == 1 {
            TensorType::F32
        } else {
            let name = tensor.name.strip_suffix(".weight").expect("a matrix of weights");
            let (layer, kind) = match name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
                Some((layer, kind)) => (layer.parse().expect("a layer"), kind),
                None => (0, name),
            };
            recorded[kind][layer]
        };
        assert_eq!(tensor.ty, expected, "{}: {}", file.path().display(), tensor.name);
    }
}

#[test]
fn every_type_is_complete_and_both_ways_give_the_same_bytes() {
    for file_type in FileType::all() {
        let (direct, from_f32) = (converted(file_type), quantized(file_type));
        let (direct, from_f32) = (File::open(direct).unwrap(), File::open(from_f32).unwrap());
        for file in [&direct, &from_f32] {
            check_metadata(file, file_type);
            check_tensors(file, file_type);
        }
        assert_eq!(direct.tensors().len(), from_f32.tensors().len());
        for (a, b) in direct.tensors().iter().zip(from_f32.tensors()) {
            assert_eq!((&a.name, &a.shape, a.ty), (&b.name, &b.shape, b.ty), "{}", file_type.name());
            assert!(direct.bytes(a) == from_f32.bytes(b), "{}: {}", file_type.name(), a.name);
        }
    }
}

#[test]
fn quantizing_keeps_every_key() {
    let source = File::open(converted(FileType::F32)).unwrap();
    let file = File::open(quantized(FileType::Q4_0)).unwrap();
    let own = ["general.file_type", "general.quantization_version"];
    let kept = |file: &File| -> Vec<(String, Value)> {
        let entries =
            file.metadata().iter().filter(|(key, _)| !own.contains(key) && !key.starts_with("llamita."));
        entries.map(|(key, value)| (key.to_owned(), value.clone())).collect()
    };
    assert_eq!(kept(&source), kept(&file));
}
