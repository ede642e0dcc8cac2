//! Llama 3.1's scaled rotary embedding, as GGUF says it: a divisor for the frequency of each pair.
//!
//! The model was trained on 8192 positions, and then on many more with its slow turns slowed down: a pair that turns
//! less than once in that context by the whole factor, one that turns more than four times not at all, and those
//! between by a mean of the two. `params.json` tells that this was done, not by how much.

use crate::metadata::ROPE_THETA;
use crate::params::Params;
use blocks::TensorType;
use std::f64::consts::TAU;

/// Positions before the stretching.
const TRAINED_CONTEXT: f64 = 8192.0;
/// Turns in that context at and below which a pair is slowed by the whole factor.
const FEW_TURNS: f64 = 1.0;
/// Turns in that context at and above which a pair is left alone.
const MANY_TURNS: f64 = 4.0;

/// Models of Llama 3.1 begin at this width; narrower ones are Llama 3.2's 1B and 3B, which were stretched further.
const MIN_DIM_OF_3_1: u64 = 4096;

/// By how much the slowest pairs are slowed down.
pub(crate) fn scale(params: &Params) -> f64 {
    if params.dim < MIN_DIM_OF_3_1 { 32.0 } else { 8.0 }
}

/// The divisors, one for each pair of a head.
pub(crate) fn of(params: &Params) -> Vec<f32> {
    let (head_dim, scale) = (params.head_dim(), scale(params));
    let base = f64::from(params.rope_theta.unwrap_or(ROPE_THETA));
    let factor = |i: u64| {
        let turns = TRAINED_CONTEXT * base.powf(-2.0 * i as f64 / head_dim as f64) / TAU;
        let share = ((turns - FEW_TURNS) / (MANY_TURNS - FEW_TURNS)).clamp(0.0, 1.0);
        (1.0 / ((1.0 - share) / scale + share)) as f32
    };
    (0..head_dim / 2).map(factor).collect()
}

/// The tensor's description.
pub(crate) fn spec(factors: &[f32]) -> gguf::TensorSpec {
    gguf::TensorSpec {
        name: "rope_freqs.weight".into(),
        shape: vec![factors.len() as u64],
        ty: TensorType::F32,
    }
}
