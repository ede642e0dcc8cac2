//! `config.json`, which Hugging Face's folders have.

use super::{
    EPSILONS, FeedForward, MAX_DIM, MAX_FILE_BYTES, MAX_HEADS, MAX_LAYERS, MAX_VOCABULARY, Params,
    RopeScaling, Stretch, THETAS, check_key_heads, equal_parts, refuse_foreign,
};
use crate::json::{self, Keys, Members, brief};
use crate::{Error, names::Layout};
use gguf::Shown;
use std::path::Path;

const FOREIGN: &[(&str, &str)] = &[
    ("quantization_config", "a quantized checkpoint"),
    ("attention_bias", "a model whose attention has biases"),
    ("mlp_bias", "a model whose feed-forward network has biases"),
    ("num_local_experts", "a mixture of experts"),
];

/// As long as `--context-length` takes.
const MAX_CONTEXT: u64 = 1 << 31;

/// A stretched context is a few thousand times the trained one at most.
const FACTORS: std::ops::RangeInclusive<f64> = 1e-3..=1e6;

pub(super) fn read(path: &Path) -> Result<Params, Error> {
    let members: Members = json::read(path, MAX_FILE_BYTES, "JSON object of hyperparameters")?;
    let keys = Keys::new(path, &members);
    let is_mistral = is_mistral(keys)?;
    refuse_foreign(keys, FOREIGN)?;
    if let Some(activation) = keys.text("hidden_act")?.filter(|&activation| activation != "silu") {
        let problem = format_args!("`{}`, where Llama has `silu`", Shown(activation)).to_string();
        return Err(keys.fault("hidden_act", problem + ", which alone llamita runs"));
    }
    let dim = keys.required("hidden_size", MAX_DIM)?;
    let n_heads = keys.required("num_attention_heads", MAX_HEADS)?;
    // Before there were shared key heads, Llama's files did not count them. Mistral's always did.
    let n_kv_heads = match keys.count("num_key_value_heads", MAX_HEADS)? {
        Some(n) => n,
        None if is_mistral => keys.required("num_key_value_heads", MAX_HEADS)?,
        None => n_heads,
    };
    check_key_heads(keys, "num_key_value_heads", n_heads, n_kv_heads)?;
    let said_head_dim = keys.count("head_dim", MAX_DIM)?;
    let head_dim = match said_head_dim {
        Some(n) if n % 2 != 0 => {
            return Err(keys.fault("head_dim", format_args!("{n} is odd; a rotary embedding turns pairs")));
        }
        Some(n) => n,
        None => equal_parts(keys, "num_attention_heads", dim, n_heads)?,
    };
    let context_length = keys.count("max_position_embeddings", MAX_CONTEXT)?;
    let (rope_theta, rope_scaling) = rope(keys)?;
    Ok(Params {
        path: path.to_owned(),
        layout: Layout::HuggingFace,
        dim,
        n_layers: keys.required("num_hidden_layers", MAX_LAYERS)?,
        n_heads,
        n_kv_heads,
        head_dim,
        says_head_dim: said_head_dim.is_some(),
        norm_eps: keys.required_float("rms_norm_eps", EPSILONS)? as f32,
        rope_theta,
        rope_scaling,
        vocab_size: keys.count("vocab_size", MAX_VOCABULARY)?,
        feed_forward: keys
            .count("intermediate_size", MAX_DIM)?
            .map_or(FeedForward::Unsaid, FeedForward::Exact),
        context_length: context_length.and_then(|n| u32::try_from(n).ok()),
        tied: Some(keys.flag("tie_word_embeddings")?),
        notes: sliding_window(keys, context_length)?.into_iter().collect(),
    })
}

/// Which of the two that are converted it is.
fn is_mistral(keys: Keys<'_>) -> Result<bool, Error> {
    let name = match keys.get("architectures") {
        Some(names) => names.get(0).and_then(|name| name.as_str()).ok_or_else(|| {
            keys.fault("architectures", format_args!("{} is no list of names", brief(names)))
        })?,
        None => return Err(keys.fault("architectures", "it is missing: nothing tells what model this is")),
    };
    match name {
        "LlamaForCausalLM" => Ok(false),
        "MistralForCausalLM" => Ok(true),
        _ => {
            let problem = format!(
                "`{}` is no model that llamita converts: it converts LlamaForCausalLM and MistralForCausalLM",
                Shown(name)
            );
            Err(keys.fault("architectures", problem))
        }
    }
}

/// The base and the scaling: under keys of their own, or, since 2025, together under `rope_parameters`.
fn rope(keys: Keys<'_>) -> Result<(Option<f32>, RopeScaling), Error> {
    let own_theta = keys.float("rope_theta", THETAS)?;
    if keys.float("partial_rotary_factor", 0.0..=1.0)?.is_some_and(|factor| factor != 1.0) {
        let problem = "a rotary embedding of a part of each head, which no Llama has";
        return Err(keys.fault("partial_rotary_factor", problem));
    }
    let rope = match keys.object("rope_parameters")? {
        Some(rope) => Some(rope),
        None => keys.object("rope_scaling")?,
    };
    let Some(rope) = rope else { return Ok((own_theta.map(|theta| theta as f32), RopeScaling::None)) };
    let theta = rope.float("rope_theta", THETAS)?.or(own_theta).map(|theta| theta as f32);
    let kind_key = if rope.get("rope_type").is_some() { "rope_type" } else { "type" };
    let scaling = match rope.text(kind_key)? {
        None | Some("default") => RopeScaling::None,
        Some("linear") => RopeScaling::Linear(rope.required_float("factor", FACTORS)? as f32),
        Some("llama3") => {
            let stretch = Stretch {
                factor: rope.required_float("factor", FACTORS)?,
                trained_context: rope.required("original_max_position_embeddings", MAX_CONTEXT)? as f64,
                few_turns: rope.required_float("low_freq_factor", FACTORS)?,
                many_turns: rope.required_float("high_freq_factor", FACTORS)?,
            };
            if stretch.many_turns <= stretch.few_turns {
                let problem = format_args!("{} is not above low_freq_factor", stretch.many_turns).to_string();
                return Err(rope.fault("high_freq_factor", problem));
            }
            RopeScaling::Llama3(stretch)
        }
        Some(other) => {
            let problem = format!(
                "the rotary embedding is stretched by the rule `{}`, which llamita does not convert yet; it converts \
                 linear and llama3",
                Shown(other)
            );
            return Err(rope.fault(kind_key, problem));
        }
    };
    Ok((theta, scaling))
}

/// GGUF's `llama` has no window. Up to its length, attention to everything is the same.
fn sliding_window(keys: Keys<'_>, context_length: Option<u64>) -> Result<Option<String>, Error> {
    let window = keys.count("sliding_window", MAX_CONTEXT)?;
    Ok(window.filter(|&window| context_length.is_none_or(|context| window < context)).map(|window| {
        format!(
            "sliding_window in config.json is {window}: the model was trained to look back that far, and here it looks \
             back to the beginning; up to {window} tokens that is the same"
        )
    }))
}
