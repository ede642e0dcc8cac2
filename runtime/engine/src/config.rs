//! The shape of the model.

/// What a `llama` model's metadata says, checked: every number is positive, and heads divide.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Layers.
    pub n_layers: usize,
    /// Floats of the residual stream.
    pub dim: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Heads of keys and values; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Floats of a head (`attention.key_length`, else `dim / n_heads`).
    pub head_dim: usize,
    /// Inner floats of the feed-forward network.
    pub ffn_dim: usize,
    /// Rows of the output matrix.
    pub n_vocab: usize,
    /// Tokens that the model was trained to see at once.
    pub context_length: usize,
    /// Floats of a head that are rotated.
    pub rope_dim: usize,
    /// Base of the rotation's frequencies.
    pub rope_base: f32,
    /// 1 / linear scaling factor.
    pub rope_scale: f32,
    /// Epsilon of the norms.
    pub norm_eps: f32,
}
