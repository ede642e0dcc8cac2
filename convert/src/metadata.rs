//! The output's keys: what a reader needs to run the model, in llama.cpp's words, and where the file comes from.

use crate::params::{Params, RopeScaling};
use crate::plan::Plan;
use gguf::Metadata;
use quantize::FileType;

/// Where `params.json` has no `rope_theta`: every Llama before Code Llama.
pub(crate) const ROPE_THETA: f32 = 10_000.0;

/// `general.quantization_version`: the layouts that ggml has had since June 2023, and that `runtime/blocks` states.
const QUANTIZATION_VERSION: u32 = 2;

/// Everything but the tokenizer and the chat template. `source`: what kind of checkpoint it was, and of how many files.
pub(crate) fn describe(
    name: &str,
    params: &Params,
    plan: &Plan<'_>,
    source: (&str, usize),
    context_length: u32,
    file_type: FileType,
) -> Metadata {
    // Every length is bounded by its check in params.rs, or by the file that really has so many rows.
    let count = |n: u64| u32::try_from(n).expect("a checked length");
    let mut metadata = Metadata::default();
    metadata.set("general.architecture", "llama");
    metadata.set("general.type", "model");
    metadata.set("general.name", name);
    metadata.set("general.file_type", file_type.wire());
    metadata.set("general.quantization_version", QUANTIZATION_VERSION);
    metadata.set("llama.vocab_size", count(plan.n_vocab));
    metadata.set("llama.context_length", context_length);
    metadata.set("llama.embedding_length", count(params.dim));
    metadata.set("llama.block_count", count(params.n_layers));
    metadata.set("llama.feed_forward_length", count(plan.n_ff));
    metadata.set("llama.attention.head_count", count(params.n_heads));
    metadata.set("llama.attention.head_count_kv", count(params.n_kv_heads));
    metadata.set("llama.attention.layer_norm_rms_epsilon", params.norm_eps);
    if params.says_head_dim {
        metadata.set("llama.attention.key_length", count(params.head_dim));
        metadata.set("llama.attention.value_length", count(params.head_dim));
    }
    metadata.set("llama.rope.dimension_count", count(params.head_dim));
    metadata.set("llama.rope.freq_base", params.rope_theta.unwrap_or(ROPE_THETA));
    if let RopeScaling::Linear(factor) = params.rope_scaling {
        metadata.set("llama.rope.scaling.type", "linear");
        metadata.set("llama.rope.scaling.factor", factor);
    }

    metadata.set("llamita.convert.version", env!("CARGO_PKG_VERSION"));
    metadata.set("llamita.convert.source", source.0);
    metadata.set("llamita.convert.source_type", plan.tensors[0].source.ty().name());
    metadata.set("llamita.convert.source_shards", source.1 as u32);
    metadata
}
