//! The shape of the model: what the metadata of a `llama` GGUF declares, checked before anything is computed from it.
//!
//! A file's numbers are not believed: each has a range here, and [`Weights`](crate::Weights) then holds every tensor
//! against them, so that a declared size is never larger than bytes that are really in the file. What would make a
//! model run and talk nonsense (an unknown kind of rope scaling, experts, a part of a split file) is refused.

use crate::Error;
use gguf::{File, KeyError};

/// No count of a model comes near; the product of two fits 64 bits.
const MAX_COUNT: u64 = 1 << 31;

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

impl Config {
    /// Reads and checks the metadata; the rows of `token_embd.weight` are the vocabulary.
    ///
    /// # Errors
    /// A sentence for each thing that is missing, out of range, or not supported.
    pub fn from_gguf(file: &File) -> Result<Self, Error> {
        let keys = Keys(file);
        keys.refuse_other_files()?;
        let dim = keys.required("llama.embedding_length")?;
        let n_heads = keys.required("llama.attention.head_count")?;
        let n_kv_heads = keys.count("llama.attention.head_count_kv")?.unwrap_or(n_heads);
        if n_heads % n_kv_heads != 0 {
            return Err(keys.refuse(format!(
                "{n_heads} query heads cannot share {n_kv_heads} heads of keys and values evenly"
            )));
        }
        let head_dim = match keys.count("llama.attention.key_length")? {
            Some(length) => length,
            None if dim % n_heads == 0 => dim / n_heads,
            None => {
                return Err(keys.refuse(format!(
                    "{n_heads} heads do not divide an embedding of {dim}, \
                     and `llama.attention.key_length` is missing"
                )));
            }
        };
        let value_length = keys.count("llama.attention.value_length")?.unwrap_or(head_dim);
        if value_length != head_dim {
            return Err(keys.refuse(format!(
                "heads of {head_dim} numbers for keys and {value_length} for values: \
                 only equal lengths are supported"
            )));
        }
        if head_dim > kernels::MAX_HEAD_DIM {
            return Err(keys.refuse(format!(
                "heads of {head_dim} numbers are not supported: {} at most",
                kernels::MAX_HEAD_DIM
            )));
        }
        if [n_heads, n_kv_heads].iter().any(|heads| heads.checked_mul(head_dim).is_none()) {
            return Err(keys.refuse(format!("{n_heads} heads of {head_dim} numbers do not fit this machine")));
        }
        Ok(Self {
            n_layers: keys.required("llama.block_count")?,
            dim,
            n_heads,
            n_kv_heads,
            head_dim,
            ffn_dim: keys.required("llama.feed_forward_length")?,
            n_vocab: keys.n_vocab()?,
            context_length: keys.required("llama.context_length")?,
            rope_dim: keys.rope_dim(head_dim)?,
            rope_base: keys.float("llama.rope.freq_base")?.unwrap_or(10_000.0),
            rope_scale: keys.rope_scale()?,
            norm_eps: keys
                .float("llama.attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| keys.missing("llama.attention.layer_norm_rms_epsilon"))?,
        })
    }

    /// Floats of a token's queries.
    pub fn q_dim(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Floats of a token's keys, and of its values.
    pub fn kv_dim(&self) -> usize {
        self.n_kv_heads * self.head_dim
    }
}

/// The metadata, with the file's name on every complaint.
struct Keys<'a>(&'a File);

impl Keys<'_> {
    fn refuse(&self, problem: impl Into<String>) -> Error {
        Error::model(self.0, problem)
    }

    fn missing(&self, key: &str) -> Error {
        Error::key(self.0, KeyError::Missing(key.to_owned()))
    }

    fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.0.metadata().str(key).map_err(|source| Error::key(self.0, source))
    }

    fn uint(&self, key: &str) -> Result<Option<u64>, Error> {
        self.0.metadata().uint(key).map_err(|source| Error::key(self.0, source))
    }

    /// A number of things: at least one, and not absurd.
    fn count(&self, key: &str) -> Result<Option<usize>, Error> {
        let Some(n) = self.uint(key)? else { return Ok(None) };
        match usize::try_from(n) {
            Ok(count) if (1..=MAX_COUNT).contains(&n) => Ok(Some(count)),
            _ => Err(self.refuse(format!("metadata key `{key}` is {n}, not a number from 1 to {MAX_COUNT}"))),
        }
    }

    fn required(&self, key: &str) -> Result<usize, Error> {
        self.count(key)?.ok_or_else(|| self.missing(key))
    }

    /// A finite number above 0.
    fn float(&self, key: &str) -> Result<Option<f32>, Error> {
        let Some(x) = self.0.metadata().float(key).map_err(|source| Error::key(self.0, source))? else {
            return Ok(None);
        };
        if !(x.is_finite() && x > 0.0) {
            return Err(self.refuse(format!("metadata key `{key}` is {x}, not a positive number")));
        }
        Ok(Some(x))
    }

    fn refuse_other_files(&self) -> Result<(), Error> {
        let parts = self.uint("split.count")?.unwrap_or(1);
        if parts > 1 {
            return Err(self.refuse(format!(
                "this is one of {parts} parts of a split model: merge them first \
                 (llama.cpp's `gguf-split --merge` does)"
            )));
        }
        match self.text("general.architecture")? {
            Some("llama") => {}
            Some(other) => {
                return Err(self.refuse(format!(
                    "architecture `{}`: only `llama` models can run here",
                    gguf::Shown(other)
                )));
            }
            None => return Err(self.missing("general.architecture")),
        }
        let experts = self.uint("llama.expert_count")?.unwrap_or(0);
        if experts > 0 {
            return Err(self.refuse(format!("a mixture of {experts} experts: only dense models can run")));
        }
        Ok(())
    }

    fn n_vocab(&self) -> Result<usize, Error> {
        let Some(embedding) = self.0.tensor("token_embd.weight") else {
            return Err(self.refuse(
                "tensor `token_embd.weight` is missing: \
                 the file holds no weights of a model (a vocabulary only?)",
            ));
        };
        match usize::try_from(embedding.n_rows()) {
            Ok(rows) if embedding.n_rows() <= MAX_COUNT => Ok(rows),
            _ => Err(self.refuse(format!("a vocabulary of more than {MAX_COUNT} tokens: no model has one"))),
        }
    }

    fn rope_dim(&self, head_dim: usize) -> Result<usize, Error> {
        let key = "llama.rope.dimension_count";
        let rope_dim = self.count(key)?.unwrap_or(head_dim);
        if rope_dim % 2 != 0 || rope_dim > head_dim {
            return Err(self.refuse(format!(
                "{rope_dim} rotated numbers (`{key}`) of a head of {head_dim}: \
                 it must be even and no more than the head"
            )));
        }
        Ok(rope_dim)
    }

    /// 1 / the linear factor. A factor without a type is linear: files from before the types say it so, under either key.
    fn rope_scale(&self) -> Result<f32, Error> {
        let factor = match self.float("llama.rope.scaling.factor")? {
            Some(factor) => factor,
            None => self.float("llama.rope.scale_linear")?.unwrap_or(1.0),
        };
        match self.text("llama.rope.scaling.type")? {
            Some("none") => Ok(1.0),
            Some("linear") | None => Ok(1.0 / factor),
            Some(other) => Err(self.refuse(format!(
                "rope scaling of the kind `{}` is not supported, \
                 only `linear` (`llama.rope.scaling.type`)",
                gguf::Shown(other)
            ))),
        }
    }
}
