//! What Meta and Hugging Face call a tensor, what GGUF calls it, how its shards join, and what shape it has.
//!
//! One table each for what stands once and what stands in every layer, in the order in which a token meets them; the
//! output file has that order, so that a model bigger than memory is read from front to back.
//!
//! The rotary layout: Meta's `wq` and `wk` pair neighbouring rows, and so does GGUF's `llama` architecture. They go in
//! as they are. Hugging Face pairs a row with the one half a head further; its `q` and `k` are put back in Meta's order.

/// Whose names and order a checkpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `consolidated.00.pth`, `params.json`.
    Meta,
    /// `model.safetensors`, `config.json`.
    HuggingFace,
}

/// How the shards of a tensor join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Each has some of the rows (Meta's column-parallel layers: the output is split).
    Rows,
    /// Each has a part of every row (row-parallel layers: the input is split).
    Cols,
    /// Rows in Llama 3, columns before it; the shapes tell.
    Either,
    /// Each has all of it.
    Copy,
}

/// A length that the hyperparameters or the shapes fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// `dim`.
    Embedding,
    /// Query heads × the head's dimension.
    Queries,
    /// Key and value heads × the head's dimension.
    Keys,
    /// The rows of `w1`.
    FeedForward,
    /// The rows of `tok_embeddings`.
    Vocabulary,
}

/// A kind of tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Meta's name, after `layers.{i}.` in a layer.
    meta: &'static str,
    /// Hugging Face's, after `model.layers.{i}.`.
    hugging_face: &'static str,
    /// GGUF's, after `blk.{i}.`.
    gguf: &'static str,
    /// How shards join.
    pub(crate) axis: Axis,
    /// Rows; `None`: a vector.
    pub(crate) rows: Option<Length>,
    /// Columns.
    pub(crate) cols: Length,
    /// The rows make queries or keys, which the rotary embedding turns in pairs.
    pub(crate) is_turned: bool,
}

/// Names in the order of the fields.
type Names = [&'static str; 3];

const fn matrix([meta, hugging_face, gguf]: Names, axis: Axis, rows: Length, cols: Length) -> Kind {
    Kind { meta, hugging_face, gguf, axis, rows: Some(rows), cols, is_turned: false }
}

const fn turned(names: Names, rows: Length) -> Kind {
    Kind { is_turned: true, ..matrix(names, Rows, rows, Embedding) }
}

const fn norm([meta, hugging_face, gguf]: Names) -> Kind {
    Kind { meta, hugging_face, gguf, axis: Axis::Copy, rows: None, cols: Length::Embedding, is_turned: false }
}

use Axis::{Cols, Either, Rows};
use Length::{Embedding, Keys, Queries, Vocabulary};

/// The embedding of tokens.
pub(crate) const TOKEN_EMBEDDING: Kind = matrix(
    ["tok_embeddings.weight", "model.embed_tokens.weight", "token_embd.weight"],
    Either,
    Vocabulary,
    Embedding,
);

/// The tensors of a layer.
#[rustfmt::skip] // a table
pub(crate) const LAYER: [Kind; 9] = [
    norm(["attention_norm.weight", "input_layernorm.weight", "attn_norm.weight"]),
    turned(["attention.wq.weight", "self_attn.q_proj.weight", "attn_q.weight"], Queries),
    turned(["attention.wk.weight", "self_attn.k_proj.weight", "attn_k.weight"], Keys),
    matrix(["attention.wv.weight", "self_attn.v_proj.weight", "attn_v.weight"], Rows, Keys, Embedding),
    matrix(["attention.wo.weight", "self_attn.o_proj.weight", "attn_output.weight"], Cols, Embedding, Queries),
    norm(["ffn_norm.weight", "post_attention_layernorm.weight", "ffn_norm.weight"]),
    FEED_FORWARD,
    matrix(["feed_forward.w3.weight", "mlp.up_proj.weight", "ffn_up.weight"], Rows, Length::FeedForward, Embedding),
    matrix(["feed_forward.w2.weight", "mlp.down_proj.weight", "ffn_down.weight"], Cols, Embedding, Length::FeedForward),
];

/// The norm before the output.
pub(crate) const OUTPUT_NORM: Kind = norm(["norm.weight", "model.norm.weight", "output_norm.weight"]);

/// The output matrix; where it is absent, the embedding serves.
pub(crate) const OUTPUT: Kind =
    matrix(["output.weight", "lm_head.weight", "output.weight"], Rows, Vocabulary, Embedding);

/// The kind whose rows are the feed-forward length.
pub(crate) const FEED_FORWARD: Kind = matrix(
    ["feed_forward.w1.weight", "mlp.gate_proj.weight", "ffn_gate.weight"],
    Rows,
    Length::FeedForward,
    Embedding,
);

/// Tables that the model computes from its hyperparameters, and that old checkpoints stored too.
pub(crate) fn is_computed(name: &str) -> bool {
    name.ends_with("rope.freqs") || name.ends_with("rotary_emb.inv_freq")
}

/// The number of the layer that a name belongs to.
pub(crate) fn layer_of(name: &str) -> Option<u64> {
    name.strip_prefix("model.").unwrap_or(name).strip_prefix("layers.")?.split('.').next()?.parse().ok()
}

impl Kind {
    /// The name in a checkpoint; `layer`: in which layer, if in one.
    pub(crate) fn source_name(&self, layout: Layout, layer: Option<u64>) -> String {
        match (layout, layer) {
            (Layout::Meta, Some(i)) => format!("layers.{i}.{}", self.meta),
            (Layout::Meta, None) => self.meta.into(),
            (Layout::HuggingFace, Some(i)) => format!("model.layers.{i}.{}", self.hugging_face),
            (Layout::HuggingFace, None) => self.hugging_face.into(),
        }
    }

    /// The name in a GGUF.
    pub(crate) fn gguf_name(&self, layer: Option<u64>) -> String {
        layer.map_or_else(|| self.gguf.into(), |i| format!("blk.{i}.{}", self.gguf))
    }
}

/// Every tensor of a model: its kind and its layer.
pub(crate) fn all(n_layers: u64, tied: bool) -> impl Iterator<Item = (Kind, Option<u64>)> {
    let layers = (0..n_layers).flat_map(|i| LAYER.into_iter().map(move |kind| (kind, Some(i))));
    let end = [OUTPUT_NORM].into_iter().chain((!tied).then_some(OUTPUT));
    [(TOKEN_EMBEDDING, None)].into_iter().chain(layers).chain(end.map(|kind| (kind, None)))
}
