//! `params.json`, which Meta ships.

use super::{
    EPSILONS, FeedForward, MAX_DIM, MAX_FILE_BYTES, MAX_HEADS, MAX_LAYERS, MAX_VOCABULARY, Params,
    RopeScaling, Stretch, THETAS, check_key_heads, equal_parts, refuse_foreign,
};
use crate::json::{self, Keys, Members};
use crate::{Error, names::Layout};
use std::path::Path;

const FOREIGN: &[(&str, &str)] = &[
    ("rope_scaling_factor", "a rotary embedding with a scale of its own"),
    ("high_freq_factor", "a rotary embedding with a scale of its own"),
    ("quantization_args", "a quantized checkpoint"),
    ("lora_args", "a checkpoint with adapters"),
    ("moe", "a mixture of experts"),
    ("moe_args", "a mixture of experts"),
    ("vision_chunk_size", "a vision model"),
];

/// Models of Llama 3.1 begin at this width, and so do the later ones that were stretched like them; narrower ones are
/// Llama 3.2's 1B and 3B, which were stretched further. `params.json` says of all of them that they were, not by how
/// much.
const MIN_DIM_OF_3_1: u64 = 4096;

pub(super) fn read(path: &Path) -> Result<Params, Error> {
    let members: Members = json::read(path, MAX_FILE_BYTES, "JSON object of hyperparameters")?;
    let keys = Keys::new(path, &members);
    refuse_foreign(keys, FOREIGN)?;
    let dim = keys.required("dim", MAX_DIM)?;
    let n_heads = keys.required("n_heads", MAX_HEADS)?;
    let n_kv_heads = keys.count("n_kv_heads", MAX_HEADS)?.unwrap_or(n_heads);
    let head_dim = equal_parts(keys, "n_heads", dim, n_heads)?;
    check_key_heads(keys, "n_kv_heads", n_heads, n_kv_heads)?;
    let factor = if dim < MIN_DIM_OF_3_1 { 32.0 } else { 8.0 };
    let stretch = Stretch { factor, trained_context: 8192.0, few_turns: 1.0, many_turns: 4.0 };
    Ok(Params {
        path: path.to_owned(),
        layout: Layout::Meta,
        dim,
        n_layers: keys.required("n_layers", MAX_LAYERS)?,
        n_heads,
        n_kv_heads,
        head_dim,
        says_head_dim: false,
        norm_eps: keys.required_float("norm_eps", EPSILONS)? as f32,
        rope_theta: keys.float("rope_theta", THETAS)?.map(|theta| theta as f32),
        rope_scaling: match keys.flag("use_scaled_rope")? {
            true => RopeScaling::Llama3(stretch),
            false => RopeScaling::None,
        },
        vocab_size: match keys.get("vocab_size") {
            Some(value) if value.as_i64() == Some(-1) => None,
            _ => keys.count("vocab_size", MAX_VOCABULARY)?,
        },
        feed_forward: feed_forward(
            dim,
            keys.count("multiple_of", MAX_DIM)?,
            keys.float("ffn_dim_multiplier", 1e-3..=1e3)?,
        ),
        context_length: None,
        tied: None,
        notes: Vec::new(),
    })
}

/// Meta's rule: two thirds of four times the width, times a factor, rounded up.
fn feed_forward(dim: u64, multiple_of: Option<u64>, multiplier: Option<f64>) -> FeedForward {
    let n_ff = 8 * dim / 3;
    let n_ff = multiplier.map_or(n_ff, |multiplier| (multiplier * n_ff as f64) as u64);
    multiple_of.map_or(FeedForward::Unsaid, |multiple| FeedForward::Claimed(n_ff.next_multiple_of(multiple)))
}
