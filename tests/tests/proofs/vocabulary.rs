//! The tokenizers of Llama 2 and 3, against llama.cpp's vectors. They are not ours to ship: see `llamita_tests::vector`.

use convert::ChatTemplate;
use engine::Tokenizer;
use gguf::File;
use llamita_tests::checkpoint::{self, Dtype, Tensor};
use llamita_tests::{convert_checkpoint, scratch_folder, vector};
use quantize::FileType;
use std::path::Path;

#[test]
fn llama_2_tokenizes_as_llama_cpp_both_ways() {
    assert_vectors("ggml-vocab-llama-spm.gguf");
}

#[test]
fn llama_3_tokenizes_as_llama_cpp_both_ways() {
    assert_vectors("ggml-vocab-llama-bpe.gguf");
}

fn assert_vectors(name: &str) {
    let Some(path) = vector(&format!("vocab/{name}")) else { return };
    let tokenizer = Tokenizer::from_gguf(&File::open(&path).unwrap()).unwrap();
    check_vectors(&path, &tokenizer);
}

/// Cases of `NAME.inp` (texts between separator lines) and `NAME.out` (a line of ids each), both ways.
pub(crate) fn check_vectors(path: &Path, tokenizer: &Tokenizer) {
    let read = |end: &str| std::fs::read_to_string(format!("{}{end}", path.display())).unwrap();
    let (texts, ids) = (read(".inp"), read(".out"));
    let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    let ids: Vec<Vec<u32>> =
        ids.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect()).collect();
    let mut n_cases = 0;
    for (text, ids) in texts.iter().zip(&ids) {
        assert_eq!(&tokenizer.encode(text, false), ids, "{text:?}");
        assert_eq!(tokenizer.decode(ids, false), *text, "{ids:?}");
        n_cases += 1;
    }
    assert!(n_cases == ids.len() && n_cases > 40, "{n_cases} cases");
}

/// A checkpoint of one narrow layer is enough to carry the tokenizer of 32 000 tokens through the conversion.
#[test]
fn llama_2s_tokenizer_model_converts_to_llama_cpps_vocabulary() {
    let (Some(model), Some(expected)) =
        (vector("vocab/llama2-tokenizer.model"), vector("vocab/ggml-vocab-llama-spm.gguf"))
    else {
        return;
    };
    let (dim, ffn_dim, n_vocab) = (32, 64, 32_000);
    let matrix = |name: &str, rows: usize, cols: usize| Tensor {
        name: name.to_owned(),
        shape: vec![rows, cols],
        values: vec![0.5; rows * cols],
    };
    let norm = |name: &str| Tensor { name: name.to_owned(), shape: vec![dim], values: vec![1.0; dim] };
    let tensors = [
        matrix("tok_embeddings.weight", n_vocab, dim),
        matrix("layers.0.attention.wq.weight", dim, dim),
        matrix("layers.0.attention.wk.weight", dim, dim),
        matrix("layers.0.attention.wv.weight", dim, dim),
        matrix("layers.0.attention.wo.weight", dim, dim),
        matrix("layers.0.feed_forward.w1.weight", ffn_dim, dim),
        matrix("layers.0.feed_forward.w2.weight", dim, ffn_dim),
        matrix("layers.0.feed_forward.w3.weight", ffn_dim, dim),
        norm("layers.0.attention_norm.weight"),
        norm("layers.0.ffn_norm.weight"),
        norm("norm.weight"),
        matrix("output.weight", n_vocab, dim),
    ];
    let params =
        r#"{"dim": 32, "n_layers": 1, "n_heads": 1, "multiple_of": 64, "norm_eps": 1e-6, "vocab_size": -1}"#;
    let folder = tempfile::tempdir_in(scratch_folder()).unwrap();
    checkpoint::write(folder.path(), 1, Dtype::F16, &tensors, params, &model).unwrap();
    let output = folder.path().join("vocabulary.gguf");
    convert_checkpoint(folder.path(), &output, FileType::F16, ChatTemplate::None).unwrap();

    let (got, expected) = (File::open(&output).unwrap(), File::open(expected).unwrap());
    for key in ["tokens", "scores", "token_type", "bos_token_id", "eos_token_id", "unknown_token_id", "model"]
    {
        let key = format!("tokenizer.ggml.{key}");
        assert!(got.metadata().get(&key).is_some(), "{key} is missing");
        assert!(got.metadata().get(&key) == expected.metadata().get(&key), "{key} differs");
    }
}
