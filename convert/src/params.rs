//! The hyperparameters: what the shapes alone do not tell.

mod hugging_face;
mod meta;

use crate::json::Keys;
use crate::{Error, names::Layout};
use std::path::{Path, PathBuf};

/// Far above any Llama (dim 16384, 126 layers, 128 heads), far below where products overflow.
const MAX_DIM: u64 = 1 << 20;
const MAX_LAYERS: u64 = 1 << 12;
const MAX_HEADS: u64 = 1 << 14;
const MAX_VOCABULARY: u64 = 1 << 24;
/// Meta's files have 150 bytes, Hugging Face's a thousand.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What a value of the rotary base may be.
const THETAS: std::ops::RangeInclusive<f64> = 1.0..=1e12;
/// What a norm's epsilon may be.
const EPSILONS: std::ops::RangeInclusive<f64> = 1e-12..=0.1;

/// The hyperparameters. Lengths are positive, `head_dim` is even, `n_kv_heads` divides `n_heads`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Params {
    pub(crate) path: PathBuf,
    /// Whose names the tensors have, and in which order the rows of `q` and `k` lie.
    pub(crate) layout: Layout,
    pub(crate) dim: u64,
    pub(crate) n_layers: u64,
    pub(crate) n_heads: u64,
    pub(crate) n_kv_heads: u64,
    /// The length of a head.
    pub(crate) head_dim: u64,
    /// The file names that length, and it need not be `dim / n_heads`.
    pub(crate) says_head_dim: bool,
    pub(crate) norm_eps: f32,
    /// `None` before Code Llama: 10000.
    pub(crate) rope_theta: Option<f32>,
    pub(crate) rope_scaling: RopeScaling,
    /// `None`: absent or −1, the shapes decide.
    pub(crate) vocab_size: Option<u64>,
    pub(crate) feed_forward: FeedForward,
    /// `None`: the file does not tell.
    pub(crate) context_length: Option<u32>,
    /// Whether the embedding is the output matrix too; `None`: it is where there is no other.
    pub(crate) tied: Option<bool>,
    /// What a user should know of them.
    pub(crate) notes: Vec<String>,
}

/// What the file says of the feed-forward length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeedForward {
    /// Nothing.
    Unsaid,
    /// What a rule of thumb makes of it: the shapes decide.
    Claimed(u64),
    /// The length itself.
    Exact(u64),
}

/// How the rotary embedding was stretched over a longer context than the model was first trained for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RopeScaling {
    None,
    /// Every turn is slower by this factor.
    Linear(f32),
    /// Slow turns alone are slower: Llama 3.1's way.
    Llama3(Stretch),
}

/// Llama 3.1's way of stretching.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stretch {
    /// By how much the slowest pairs are slowed down.
    pub(crate) factor: f64,
    /// Positions before the stretching.
    pub(crate) trained_context: f64,
    /// Turns in that context at and below which a pair is slowed by the whole factor.
    pub(crate) few_turns: f64,
    /// Turns in that context at and above which a pair is left alone; more than `few_turns`.
    pub(crate) many_turns: f64,
}

impl Params {
    /// Reads and checks `params.json`.
    pub(crate) fn read_meta(path: &Path) -> Result<Self, Error> {
        meta::read(path)
    }

    /// Reads and checks `config.json`.
    pub(crate) fn read_hugging_face(path: &Path) -> Result<Self, Error> {
        hugging_face::read(path)
    }

    /// Its file's name, for sentences.
    pub(crate) fn file_name(&self) -> &'static str {
        match self.layout {
            Layout::Meta => "params.json",
            Layout::HuggingFace => "config.json",
        }
    }

    /// What that file calls the number of layers.
    pub(crate) fn n_layers_key(&self) -> &'static str {
        match self.layout {
            Layout::Meta => "n_layers",
            Layout::HuggingFace => "num_hidden_layers",
        }
    }
}

/// The length of a head, where every head has an equal part of the width.
fn equal_parts(keys: Keys<'_>, key: &str, dim: u64, n_heads: u64) -> Result<u64, Error> {
    if !dim.is_multiple_of(n_heads) || !(dim / n_heads).is_multiple_of(2) {
        return Err(
            keys.fault(key, format_args!("{n_heads} heads do not share a dim of {dim} in even parts"))
        );
    }
    Ok(dim / n_heads)
}

/// Every key head serves as many heads.
fn check_key_heads(keys: Keys<'_>, key: &str, n_heads: u64, n_kv_heads: u64) -> Result<(), Error> {
    if !n_heads.is_multiple_of(n_kv_heads) {
        return Err(keys.fault(key, format_args!("{n_kv_heads} key heads do not divide {n_heads} heads")));
    }
    Ok(())
}

/// Refuses keys that change the arithmetic in ways that this converter does not write down.
fn refuse_foreign(keys: Keys<'_>, foreign: &[(&str, &str)]) -> Result<(), Error> {
    for (key, what) in foreign {
        if keys.get(key).is_some_and(|value| value.as_bool() != Some(false)) {
            return Err(keys.fault(key, format_args!("this is {what}, which llamita does not convert yet")));
        }
    }
    Ok(())
}
