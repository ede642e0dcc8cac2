//! Cases by hand; that every tensor of every true shape gets llama.cpp's type is proved in `tests/`, against itself.

use super::*;
use TensorType as T;

/// A model's matrices, all of 256 columns.
fn names(n_layers: u64, fused: bool) -> Vec<String> {
    let kinds: &[&str] = match fused {
        true => &["attn_qkv", "attn_output", "ffn_down"],
        false => &["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"],
    };
    let in_layer = |layer| kinds.iter().map(move |kind| format!("blk.{layer}.{kind}.weight"));
    ["token_embd.weight".to_owned()].into_iter().chain((0..n_layers).flat_map(in_layer)).collect()
}

/// The types of one kind of matrix, from the first layer to the last.
fn kind(
    file_type: FileType,
    model: &Architecture,
    imatrix: bool,
    kind: &str,
    shape: &[u64],
) -> Vec<TensorType> {
    // Not in the model's order: what counts is the number in a name.
    let names: Vec<_> = names(model.n_layers, kind == "attn_qkv").into_iter().rev().collect();
    let tensors: Vec<_> = names.iter().map(|name| Tensor { name, shape, ty: T::F16 }).collect();
    let types = types(file_type, model, imatrix, &tensors);
    let of_kind = names.iter().zip(types).filter(|(name, _)| name.contains(kind));
    of_kind.map(|(_, ty)| ty.unwrap()).rev().collect()
}

#[test]
fn more_bits_go_where_they_pay() {
    let model = Architecture { n_layers: 32, n_heads: 32, n_kv_heads: 32, n_experts: 0 };
    let of = |file_type, name, imatrix| kind(file_type, &model, imatrix, name, &[256, 9]);
    let at = |types: Vec<TensorType>, ty| {
        types.iter().enumerate().filter(|(_, t)| **t == ty).map(|(i, _)| i).collect::<Vec<_>>()
    };
    for name in ["attn_v", "ffn_down", "attn_qkv"] {
        let expected = [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31];
        assert_eq!(at(of(FileType::Q4KM, name, false), T::Q6K), expected, "{name}");
    }
    assert_eq!(at(of(FileType::Q4_0, "ffn_down", true), T::Q4_1), [0, 1, 2, 3]);
    assert!(at(of(FileType::Q4_0, "ffn_down", false), T::Q4_1).is_empty());
    assert_eq!(at(of(FileType::Iq4Xs, "ffn_down", false), T::Q5K), [0, 1, 2, 3]);
    assert!(at(of(FileType::Iq4Xs, "ffn_down", true), T::Q5K).is_empty());
    assert_eq!(at(of(FileType::Q3KM, "ffn_down", false), T::Q5K), [0, 1]);
}

#[test]
fn values_that_heads_share_get_more_bits() {
    let shared = |n_layers, n_kv_heads| Architecture { n_layers, n_heads: 64, n_kv_heads, n_experts: 0 };
    for (file_type, n_layers, n_kv_heads, expected) in [
        (FileType::Q2K, 60, 64, T::Q3K),
        (FileType::Q2K, 60, 16, T::Q4K),
        (FileType::Q2KS, 60, 32, T::Q2K),
        (FileType::Iq4Xs, 60, 8, T::Q5K),
        (FileType::Q3KS, 80, 64, T::Q3K),
        (FileType::Q3KS, 80, 8, T::Q5K),
        (FileType::Q2KS, 80, 8, T::Q5K),
    ] {
        let types = kind(file_type, &shared(n_layers, n_kv_heads), false, "attn_v", &[256, 9]);
        assert_eq!(types[5], expected, "{file_type}, {n_layers} layers, {n_kv_heads} heads");
    }
}

#[test]
fn experts_have_rules_of_their_own() {
    let model = Architecture { n_layers: 32, n_heads: 32, n_kv_heads: 8, n_experts: 8 };
    for (file_type, name, shape, expected) in [
        (FileType::Q4KM, "attn_v", &[256, 9][..], T::Q8_0),
        (FileType::Q4_0, "attn_k", &[256, 9], T::Q8_0),
        (FileType::Q3KS, "attn_output", &[256, 9], T::Q5K),
        (FileType::Q3KL, "attn_output", &[256, 9], T::Q3K),
        (FileType::Q5KM, "ffn_down", &[256, 9, 8], T::Q6K),
        (FileType::Mxfp4Moe, "ffn_down", &[256, 9, 8], T::Mxfp4),
        (FileType::Mxfp4Moe, "ffn_down", &[256, 9, 1], T::Q8_0),
        (FileType::Mxfp4Moe, "token_embd", &[256, 9, 8], T::Q8_0),
    ] {
        assert_eq!(kind(file_type, &model, false, name, shape)[0], expected, "{file_type} {name} {shape:?}");
    }
}

#[test]
fn what_is_no_matrix_has_no_type_of_the_files() {
    for (name, shape) in [
        ("output_norm.weight", &[4096][..]),
        ("blk.0.attn_q_norm.weight", &[128, 32]),
        ("blk.0.ffn_gate_inp.weight", &[4096, 8]),
        ("rope_freqs.weight", &[64]),
        ("blk.0.attn_q.bias", &[4096]),
    ] {
        let tensor = Tensor { name, shape, ty: T::F32 };
        assert_eq!(types(FileType::Q4KM, &Architecture::default(), false, &[tensor]), [None], "{name}");
    }
}

#[test]
fn the_output_matrix_gets_six_bits_also_where_the_embedding_is_it() {
    for (file_type, n_cols, expected) in [
        (FileType::F16, 256, T::F16),
        (FileType::Q8_0, 256, T::Q8_0),
        (FileType::Q5_1, 256, T::Q6K),
        (FileType::Tq1_0, 256, T::Q6K),
        (FileType::Q2K, 288, T::Q8_0),
        (FileType::Q4_0, 288, T::Q6K),
    ] {
        let shape = [n_cols, 9];
        let tensor = |name| Tensor { name, shape: &shape, ty: T::F16 };
        let tied = types(file_type, &Architecture::default(), false, &[tensor("token_embd.weight")]);
        let both = [tensor("token_embd.weight"), tensor("output.weight")];
        let both = types(file_type, &Architecture::default(), false, &both);
        assert_eq!((tied[0], both[1]), (Some(expected), Some(expected)), "{file_type} {n_cols}");
        let embedding = if file_type == FileType::Tq1_0 { T::Q4K } else { file_type.matrices() };
        assert_eq!(both[0], Some(embedding), "{file_type}");
    }
}
