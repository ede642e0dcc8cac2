//! Norms and what is done float by float. Rows are `n_cols` long, one a token. Sums run over 16 virtual lanes and a
//! fixed tree, exp is one polynomial: the same bits at every level.

use crate::Team;

/// `out = x / sqrt(mean(x²) + eps) · weight`, row by row.
pub fn rms_norm(_team: &Team, _x: &[f32], _weight: &[f32], _eps: f32, _out: &mut [f32]) {
    todo!()
}

/// `x += y`.
pub fn add(_team: &Team, _x: &mut [f32], _y: &[f32]) {
    todo!()
}

/// `gate = gate · sigmoid(gate) · up`.
pub fn silu_mul(_team: &Team, _gate: &mut [f32], _up: &[f32]) {
    todo!()
}
