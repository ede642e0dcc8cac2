//! Files that are sound GGUFs but no models: each is refused from its header, in words that name what is wrong.

use super::*;
use crate::tiny::{Tiny, write};
use blocks::TensorType;
use gguf::{Metadata, TensorSpec};

/// What is done to a model's header before it is written.
type Change = fn(&mut Metadata, &mut Vec<TensorSpec>);

fn open(change: impl Fn(&mut Metadata, &mut Vec<TensorSpec>)) -> Result<Model, Error> {
    let (mut metadata, mut tensors) = (Tiny::new().metadata(), Tiny::new().tensors());
    change(&mut metadata, &mut tensors);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.gguf");
    write(&path, &metadata, &tensors);
    Model::open(path)
}

fn tensor<'a>(tensors: &'a mut [TensorSpec], name: &str) -> &'a mut TensorSpec {
    tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
}

fn added(name: &str, n: u64) -> TensorSpec {
    TensorSpec { name: name.into(), shape: vec![n], ty: TensorType::F32 }
}

#[test]
fn what_cannot_run_is_refused_in_words() {
    let table: &[(Change, &str)] = &[
        // Other files.
        (|m, _| m.set("split.count", 3u16), "one of 3 parts of a split model"),
        (|m, _| m.set("general.architecture", "mamba\x1b"), r"architecture `mamba\u{1b}`: only `llama`"),
        (|m, _| drop(m.remove("general.architecture")), "`general.architecture` is missing"),
        (|m, _| m.set("general.architecture", 7u32), "`general.architecture`: found"),
        (|m, _| m.set("llama.expert_count", 8u32), "8 experts"),
        (|_, t| t.clear(), "a vocabulary only?"),
        // Numbers.
        (|m, _| drop(m.remove("llama.block_count")), "`llama.block_count` is missing"),
        (|m, _| m.set("llama.block_count", 0u32), "`llama.block_count` is 0"),
        (|m, _| m.set("llama.block_count", 1u32 << 31), "`blk.2.attn_norm.weight` is missing"),
        (|m, _| m.set("llama.block_count", u64::MAX), "`llama.block_count` is 18446744073709551615"),
        (|m, _| m.set("llama.block_count", -2i32), "`llama.block_count`"),
        (|m, _| m.set("llama.block_count", "two"), "`llama.block_count`: found"),
        (|m, _| m.set("llama.embedding_length", 1u64 << 40), "`llama.embedding_length` is 1099511627776"),
        (
            |m, _| m.set("llama.embedding_length", 65u32),
            "shape [64, 300], but the metadata ask for [65, 300]",
        ),
        (|m, _| m.set("llama.context_length", 1u64 << 62), "`llama.context_length` is"),
        (|m, _| drop(m.remove("llama.context_length")), "`llama.context_length` is missing"),
        (|m, _| m.set("llama.feed_forward_length", 1u32 << 31), "`blk.0.ffn_gate.weight` has the shape"),
        (|m, _| m.set("llama.attention.head_count", 0u32), "`llama.attention.head_count` is 0"),
        (|m, _| m.set("llama.attention.head_count", 5u32), "5 query heads cannot share 2 heads"),
        (|m, _| m.set("llama.attention.head_count_kv", 3u32), "4 query heads cannot share 3 heads"),
        (
            |m, _| m.set("llama.attention.head_count_kv", vec![2u32, 2]),
            "`llama.attention.head_count_kv`: found",
        ),
        (
            |m, _| {
                m.remove("llama.attention.key_length");
                m.set("llama.attention.head_count", 6u32);
            },
            "6 heads do not divide an embedding of 64",
        ),
        (
            |m, _| m.set("llama.attention.key_length", 1u32 << 31),
            "2147483648 numbers for keys and 16 for values",
        ),
        (
            |m, _| {
                m.set("llama.attention.key_length", 8192u32);
                m.set("llama.attention.value_length", 8192u32);
            },
            "heads of 8192 numbers are not supported: 4096 at most",
        ),
        (|m, _| m.set("llama.attention.value_length", 8u32), "16 numbers for keys and 8 for values"),
        (
            |m, _| m.set("llama.attention.layer_norm_rms_epsilon", f32::NAN),
            "`llama.attention.layer_norm_rms_epsilon`",
        ),
        (
            |m, _| drop(m.remove("llama.attention.layer_norm_rms_epsilon")),
            "layer_norm_rms_epsilon` is missing",
        ),
        // The rotation.
        (|m, _| m.set("llama.rope.dimension_count", 15u32), "must be even"),
        (|m, _| m.set("llama.rope.dimension_count", 18u32), "no more than the head"),
        (|m, _| m.set("llama.rope.freq_base", -1.0f32), "`llama.rope.freq_base` is -1"),
        (|m, _| m.set("llama.rope.scaling.type", "yarn"), "`yarn` is not supported"),
        (|m, _| m.set("llama.rope.scaling.factor", 0.0f32), "`llama.rope.scaling.factor` is 0"),
        (|m, _| m.set("llama.rope.scaling.factor", f32::INFINITY), "`llama.rope.scaling.factor`"),
        // Tensors.
        (|_, t| t.retain(|t| t.name != "blk.1.attn_v.weight"), "`blk.1.attn_v.weight` is missing"),
        (|_, t| t.retain(|t| t.name != "output_norm.weight"), "`output_norm.weight` is missing"),
        (
            |_, t| tensor(t, "blk.0.attn_q.weight").shape = vec![64, 63],
            "`blk.0.attn_q.weight` has the shape [64, 63]",
        ),
        (
            |_, t| tensor(t, "blk.0.attn_q.weight").shape = vec![64],
            "`blk.0.attn_q.weight` has the shape [64]",
        ),
        (|_, t| tensor(t, "output.weight").shape = vec![64, 299], "`output.weight` has the shape [64, 299]"),
        (|_, t| tensor(t, "blk.1.ffn_up.weight").ty = TensorType::Nvfp4, "the type NVFP4, which this build"),
        (|_, t| tensor(t, "blk.1.ffn_up.weight").ty = TensorType::I32, "it knows F32, F16, Q4_0"),
        (|_, t| tensor(t, "blk.1.ffn_norm.weight").ty = TensorType::F16, "a vector must be F32"),
        (|_, t| t.push(added("rope_freqs.weight", 7)), "`rope_freqs.weight` has the shape [7]"),
        (|_, t| t.push(added("blk.0.attn_q.bias", 64)), "`blk.0.attn_q.bias`: a model with biases"),
        (|_, t| t.push(added("blk.0.attn_q_norm.weight", 16)), "`blk.0.attn_q_norm.weight` is none that"),
        (|_, t| t.push(added("blk.2.attn_norm.weight", 64)), "`blk.2.attn_norm.weight` is none that"),
        // The tokenizer.
        (
            |m, t| {
                m.remove("llama.vocab_size");
                t.iter_mut().filter(|t| t.shape == [64, 300]).for_each(|t| t.shape[1] = 301);
            },
            "the tokenizer has 300 tokens, but `token_embd.weight` has 301 rows",
        ),
        (|m, _| drop(m.remove("tokenizer.ggml.tokens")), "tokenizer.ggml.tokens"),
    ];
    assert!(open(|_, _| ()).is_ok());
    for (i, (change, words)) in table.iter().enumerate() {
        let error = open(change).expect_err(words).to_string();
        assert!(error.contains(words), "case {i}: {words:?} is not in {error:?}");
        assert!(error.contains("changed.gguf"), "{error}");
    }
}

#[test]
fn a_rotation_is_divided_by_positive_numbers_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.gguf");
    let tiny = Tiny { rope_factors: true, ..Tiny::new() };
    write(&path, &tiny.metadata(), &tiny.tensors());
    let sound = std::fs::read(&path).unwrap();
    let at = gguf::File::open(&path).unwrap().tensor("rope_freqs.weight").unwrap().offset as usize;
    for factor in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let mut bytes = sound.clone();
        bytes[at + 4..at + 8].copy_from_slice(&factor.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        let error = Model::open(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("a frequency by {factor}")), "{error}");
    }
}

#[test]
fn what_is_not_said_has_its_default() {
    let changed = |change: Change| open(change).unwrap().config().clone();
    let tiny = Tiny::new().config;
    let table: &[(Change, Config)] = &[
        (|m, _| drop(m.remove("llama.attention.key_length")), tiny.clone()),
        (|m, _| drop(m.remove("llama.rope.dimension_count")), tiny.clone()),
        (|m, _| drop(m.remove("llama.rope.freq_base")), tiny.clone()),
        (|m, _| m.set("llama.rope.scaling.factor", 4.0f32), Config { rope_scale: 0.25, ..tiny.clone() }),
        (|m, _| m.set("llama.rope.scale_linear", 2.0f32), Config { rope_scale: 0.5, ..tiny.clone() }),
        (
            |m, _| {
                m.set("llama.rope.scaling.type", "none");
                m.set("llama.rope.scaling.factor", 4.0f32);
            },
            tiny.clone(),
        ),
        (
            |m, t| {
                m.remove("llama.attention.head_count_kv");
                t.iter_mut().filter(|t| t.shape == [64, 32]).for_each(|t| t.shape[1] = 64);
            },
            Config { n_kv_heads: 4, ..tiny.clone() },
        ),
        (|_, t| t.push(added("blk.0.attn_rot_embd.weight", 8)), tiny.clone()),
        (|m, _| m.set("split.count", 1u16), tiny.clone()),
        (|m, _| m.set("llama.expert_count", 0u32), tiny.clone()),
    ];
    for (i, (change, expected)) in table.iter().enumerate() {
        assert_eq!(&changed(*change), expected, "case {i}");
    }
}

#[test]
fn a_row_is_where_the_matrix_has_it() {
    let model = Tiny { ty: TensorType::Q8_0, ..Tiny::new() }.model();
    let matrix = &model.weights().layers[1].ffn_down;
    let all = model.rows(matrix, 0..64);
    assert_eq!((all.ty, all.n_cols, all.n_rows()), (TensorType::Q8_0, 96, 64));
    let some = model.rows(matrix, 10..13);
    assert_eq!(some.bytes, &all.bytes[10 * 3 * 34..13 * 3 * 34]);
    let total: u64 = model.file().tensors().iter().map(|tensor| tensor.n_bytes).sum();
    assert_eq!(model.weights().n_bytes, total);
}
