//! Llama 3.1's scaled rotary embedding, as GGUF says it: a divisor for the frequency of each pair.
//!
//! The model was trained on some positions, and then on many more with its slow turns slowed down: a pair that turns
//! less than once in the first context by the whole factor, one that turns more than four times not at all, and those
//! between by a mean of the two.

use crate::metadata::ROPE_THETA;
use crate::params::{Params, Stretch};
use blocks::TensorType;
use std::f64::consts::TAU;

/// The divisors, one for each pair of a head.
pub(crate) fn of(params: &Params, stretch: &Stretch) -> Vec<f32> {
    let &Stretch { factor, trained_context, few_turns, many_turns } = stretch;
    let head_dim = params.head_dim;
    let base = f64::from(params.rope_theta.unwrap_or(ROPE_THETA));
    let divisor = |i: u64| {
        let turns = trained_context * base.powf(-2.0 * i as f64 / head_dim as f64) / TAU;
        let share = ((turns - few_turns) / (many_turns - few_turns)).clamp(0.0, 1.0);
        (1.0 / ((1.0 - share) / factor + share)) as f32
    };
    (0..head_dim / 2).map(divisor).collect()
}

/// The tensor's description.
pub(crate) fn spec(factors: &[f32]) -> gguf::TensorSpec {
    gguf::TensorSpec {
        name: "rope_freqs.weight".into(),
        shape: vec![factors.len() as u64],
        ty: TensorType::F32,
    }
}
