//! What Meta calls a tensor, what GGUF calls it, how its shards join, and what shape it has.
//!
//! One table each for what stands once and what stands in every layer, in the order in which a token meets them; the
//! output file has that order, so that a model bigger than memory is read from front to back.
//!
//! The rotary layout: Meta's `wq` and `wk` pair neighbouring rows, and so does GGUF's `llama` architecture. They go in
//! as they are.

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
    pub(crate) meta: &'static str,
    /// GGUF's, after `blk.{i}.`.
    pub(crate) gguf: &'static str,
    /// How shards join.
    pub(crate) axis: Axis,
    /// Rows; `None`: a vector.
    pub(crate) rows: Option<Length>,
    /// Columns.
    pub(crate) cols: Length,
}

const fn matrix(meta: &'static str, gguf: &'static str, axis: Axis, rows: Length, cols: Length) -> Kind {
    Kind { meta, gguf, axis, rows: Some(rows), cols }
}

const fn norm(meta: &'static str, gguf: &'static str) -> Kind {
    Kind { meta, gguf, axis: Axis::Copy, rows: None, cols: Length::Embedding }
}

use Axis::{Cols, Either, Rows};
use Length::{Embedding, FeedForward, Keys, Queries, Vocabulary};

/// The embedding of tokens.
pub(crate) const TOKEN_EMBEDDING: Kind =
    matrix("tok_embeddings.weight", "token_embd.weight", Either, Vocabulary, Embedding);

/// The tensors of a layer.
pub(crate) const LAYER: [Kind; 9] = [
    norm("attention_norm.weight", "attn_norm.weight"),
    matrix("attention.wq.weight", "attn_q.weight", Rows, Queries, Embedding),
    matrix("attention.wk.weight", "attn_k.weight", Rows, Keys, Embedding),
    matrix("attention.wv.weight", "attn_v.weight", Rows, Keys, Embedding),
    matrix("attention.wo.weight", "attn_output.weight", Cols, Embedding, Queries),
    norm("ffn_norm.weight", "ffn_norm.weight"),
    FEED_FORWARD,
    matrix("feed_forward.w3.weight", "ffn_up.weight", Rows, FeedForward, Embedding),
    matrix("feed_forward.w2.weight", "ffn_down.weight", Cols, Embedding, FeedForward),
];

/// The norm before the output.
pub(crate) const OUTPUT_NORM: Kind = norm("norm.weight", "output_norm.weight");

/// The output matrix; where it is absent, the embedding serves.
pub(crate) const OUTPUT: Kind = matrix("output.weight", "output.weight", Rows, Vocabulary, Embedding);

/// The kind whose rows are the feed-forward length.
pub(crate) const FEED_FORWARD: Kind =
    matrix("feed_forward.w1.weight", "ffn_gate.weight", Rows, Length::FeedForward, Embedding);

/// Tables that the model computes from its hyperparameters, and that old checkpoints stored too.
pub(crate) fn is_computed(meta: &str) -> bool {
    meta.ends_with("rope.freqs")
}

impl Kind {
    /// (Meta's name, GGUF's name); `layer`: in which layer, if in one.
    pub(crate) fn names(&self, layer: Option<u64>) -> (String, String) {
        match layer {
            Some(i) => (format!("layers.{i}.{}", self.meta), format!("blk.{i}.{}", self.gguf)),
            None => (self.meta.into(), self.gguf.into()),
        }
    }
}

/// Every tensor of a model: its kind and its layer.
pub(crate) fn all(n_layers: u64, tied: bool) -> impl Iterator<Item = (Kind, Option<u64>)> {
    let layers = (0..n_layers).flat_map(|i| LAYER.into_iter().map(move |kind| (kind, Some(i))));
    let end = [OUTPUT_NORM].into_iter().chain((!tied).then_some(OUTPUT));
    [(TOKEN_EMBEDDING, None)].into_iter().chain(layers).chain(end.map(|kind| (kind, None)))
}
