//! A checkpoint in one file and the same checkpoint cut over 2 or 4 shards become the same file.

use convert::ChatTemplate;
use llamita_tests::checkpoint::{self, Dtype, Tensor};
use llamita_tests::{bundled, convert_checkpoint, converted, scratch_folder};
use quantize::FileType;
use std::path::{Path, PathBuf};

/// The bundled model's parameters, but for the vocabulary's size: -1 is what Meta's own files say.
const PARAMS: &str = r#"{"dim": 256, "n_layers": 8, "n_heads": 8, "n_kv_heads": 4, "vocab_size": -1, "multiple_of": 256, "norm_eps": 1e-05}"#;

/// Writes the bundled model over shards and converts it.
fn convert_in_shards(tensors: &[Tensor], n_shards: usize, dtype: Dtype, file_type: FileType) -> PathBuf {
    let folder = tempfile::tempdir_in(scratch_folder()).unwrap();
    checkpoint::write(folder.path(), n_shards, dtype, tensors, PARAMS, &bundled().join("tokenizer.model"))
        .unwrap();
    let output = scratch_folder().join(format!("{n_shards}-shards-{dtype:?}-{}.gguf", file_type.name()));
    convert_checkpoint(folder.path(), &output, file_type, ChatTemplate::None).unwrap();
    output
}

#[track_caller]
fn assert_same_tensors(expected: &Path, got: &Path) {
    let (expected, got) = (gguf::File::open(expected).unwrap(), gguf::File::open(got).unwrap());
    assert_eq!(expected.tensors().len(), got.tensors().len());
    for (a, b) in expected.tensors().iter().zip(got.tensors()) {
        assert_eq!((&a.name, &a.shape, a.ty), (&b.name, &b.shape, b.ty));
        assert!(expected.bytes(a) == got.bytes(b), "{}: {} has other bytes", got.path().display(), a.name);
    }
}

#[track_caller]
fn check(dtype: Dtype, file_type: FileType) {
    let file = gguf::File::open(converted(FileType::F32)).unwrap();
    let mut tensors = checkpoint::tensors_of(&file);
    // Meta's checkpoints carry these; they say nothing that the parameters do not, and a GGUF has no place for them.
    tensors.push(Tensor { name: "rope.freqs".to_owned(), shape: vec![16], values: vec![1.0; 16] });
    let whole = match dtype {
        Dtype::Bf16 => converted(file_type), // the bundled checkpoint itself: it is bf16
        _ => convert_in_shards(&tensors, 1, dtype, file_type),
    };
    for n_shards in [2, 4] {
        assert_same_tensors(&whole, &convert_in_shards(&tensors, n_shards, dtype, file_type));
    }
}

#[test]
fn bf16_shards_give_the_bytes_of_one_file() {
    check(Dtype::Bf16, FileType::Bf16);
}

#[test]
fn bf16_shards_give_the_quantized_bytes_of_one_file() {
    check(Dtype::Bf16, FileType::Q4_0);
}

#[test]
fn f16_shards_give_the_bytes_of_one_file() {
    check(Dtype::F16, FileType::F16);
}

#[test]
fn f32_shards_give_the_quantized_bytes_of_one_file() {
    check(Dtype::F32, FileType::Q5_1);
}
