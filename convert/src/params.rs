//! `params.json`: what the shapes alone do not tell.

use crate::{Error, input};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Far above any Llama (dim 16384, 126 layers, 128 heads), far below where products overflow.
const MAX_DIM: u64 = 1 << 20;
const MAX_LAYERS: u64 = 1 << 12;
const MAX_HEADS: u64 = 1 << 14;
const MAX_VOCABULARY: u64 = 1 << 24;
/// Meta's files have 150 bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Keys that change the arithmetic in ways that this converter does not write down.
const FOREIGN: &[(&str, &str)] = &[
    ("rope_scaling_factor", "a rotary embedding with a scale of its own"),
    ("high_freq_factor", "a rotary embedding with a scale of its own"),
    ("quantization_args", "a quantized checkpoint"),
    ("lora_args", "a checkpoint with adapters"),
    ("moe", "a mixture of experts"),
    ("moe_args", "a mixture of experts"),
    ("vision_chunk_size", "a vision model"),
];

/// The hyperparameters. Lengths are positive, `n_heads` divides `dim`, `n_kv_heads` divides `n_heads`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Params {
    pub(crate) path: PathBuf,
    pub(crate) dim: u64,
    pub(crate) n_layers: u64,
    pub(crate) n_heads: u64,
    pub(crate) n_kv_heads: u64,
    pub(crate) norm_eps: f32,
    /// `None` before Code Llama: 10000.
    pub(crate) rope_theta: Option<f32>,
    /// Llama 3.1 and later: slow turns are stretched over a longer context.
    pub(crate) use_scaled_rope: bool,
    /// `None`: absent or −1, the shapes decide.
    pub(crate) vocab_size: Option<u64>,
    /// What `multiple_of` and `ffn_dim_multiplier` make the feed-forward length. A claim: the shapes decide.
    pub(crate) n_ff_claimed: Option<u64>,
}

impl Params {
    /// Reads and checks the file.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = input::read_small(path, MAX_FILE_BYTES)?;
        let map = serde_json::from_slice::<Map<String, Value>>(&text).map_err(|error| {
            let place = format_args!("line {}, column {}", error.line(), error.column());
            let problem = error.to_string();
            let problem = problem.rsplit_once(" at line").map_or(&*problem, |(problem, _)| problem);
            Error::malformed(
                path,
                place,
                format_args!("this is no JSON object of hyperparameters: {problem}"),
            )
        })?;
        let keys = Keys { path, map: &map };
        for (key, what) in FOREIGN {
            if map.get(*key).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false))) {
                return Err(keys.fault(key, format!("this is {what}, which llamita does not convert yet")));
            }
        }

        let dim = keys.required("dim", MAX_DIM)?;
        let n_heads = keys.required("n_heads", MAX_HEADS)?;
        let n_kv_heads = keys.count("n_kv_heads", MAX_HEADS)?.unwrap_or(n_heads);
        if dim % n_heads != 0 || !(dim / n_heads).is_multiple_of(2) {
            return Err(
                keys.fault("n_heads", format!("{n_heads} heads do not share a dim of {dim} in even parts"))
            );
        }
        if n_heads % n_kv_heads != 0 {
            return Err(
                keys.fault("n_kv_heads", format!("{n_kv_heads} key heads do not divide {n_heads} heads"))
            );
        }
        Ok(Self {
            path: path.to_owned(),
            dim,
            n_layers: keys.required("n_layers", MAX_LAYERS)?,
            n_heads,
            n_kv_heads,
            norm_eps: keys
                .float("norm_eps", 1e-12..=0.1)?
                .ok_or_else(|| keys.fault("norm_eps", "it is missing"))? as f32,
            rope_theta: keys.float("rope_theta", 1.0..=1e12)?.map(|theta| theta as f32),
            use_scaled_rope: keys.flag("use_scaled_rope")?,
            vocab_size: match map.get("vocab_size") {
                Some(value) if value.as_i64() == Some(-1) => None,
                _ => keys.count("vocab_size", MAX_VOCABULARY)?,
            },
            n_ff_claimed: feed_forward(
                dim,
                keys.count("multiple_of", MAX_DIM)?,
                keys.float("ffn_dim_multiplier", 1e-3..=1e3)?,
            ),
        })
    }

    /// The dimension of a head.
    pub(crate) fn head_dim(&self) -> u64 {
        self.dim / self.n_heads
    }
}

/// Meta's rule: two thirds of four times the width, times a factor, rounded up.
fn feed_forward(dim: u64, multiple_of: Option<u64>, multiplier: Option<f64>) -> Option<u64> {
    let n_ff = 8 * dim / 3;
    let n_ff = multiplier.map_or(n_ff, |multiplier| (multiplier * n_ff as f64) as u64);
    Some(n_ff.next_multiple_of(multiple_of?))
}

/// The object's keys, with sentences for what they should hold.
struct Keys<'a> {
    path: &'a Path,
    map: &'a Map<String, Value>,
}

impl Keys<'_> {
    fn fault(&self, key: &str, problem: impl std::fmt::Display) -> Error {
        Error::malformed(self.path, format_args!("key `{key}`"), problem)
    }

    fn count(&self, key: &str, max: u64) -> Result<Option<u64>, Error> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(n) if (1..=max).contains(&n) => Ok(Some(n)),
                _ => Err(self.fault(key, format!("{} is no whole number from 1 to {max}", brief(value)))),
            },
        }
    }

    fn required(&self, key: &str, max: u64) -> Result<u64, Error> {
        self.count(key, max)?.ok_or_else(|| self.fault(key, "it is missing"))
    }

    fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => Err(self.fault(key, format!("{} is neither true nor false", brief(value)))),
        }
    }

    fn float(&self, key: &str, range: std::ops::RangeInclusive<f64>) -> Result<Option<f64>, Error> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(x) if range.contains(&x) => Ok(Some(x)),
                _ => {
                    let problem = format!(
                        "{} is no number from {:e} to {:e}",
                        brief(value),
                        range.start(),
                        range.end()
                    );
                    Err(self.fault(key, problem))
                }
            },
        }
    }
}

/// A value short enough for a sentence.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
