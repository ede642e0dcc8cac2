//! Norms and what is done float by float. Rows are `n_cols` long, one a token. Sums run over 16 virtual lanes and a
//! fixed tree, exp is one polynomial: the same bits at every level.
//!
//! The bodies are plain loops, compiled once under each level's features: an optimizer must not reorder floating-point
//! operations, so it vectorizes them as they are written.

#[cfg(test)]
mod tests;

use crate::exp::exp;
use crate::{Team, lanes};

/// Floats that a thread takes at a time where each is independent.
const CHUNK: usize = 16 * 1024;

/// `out = x / sqrt(mean(x²) + eps) · weight`, row by row.
///
/// # Panics
/// If `x` and `out` are not whole rows of `weight`'s length.
pub fn rms_norm(team: &Team, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let n_cols = weight.len();
    assert!(x.len() == out.len() && (x.len().checked_rem(n_cols) == Some(0)), "rows of {n_cols} floats");
    let isa = team.isa();
    let rows_a_chunk = (CHUNK / n_cols).max(1);
    team.for_each_piece(out, rows_a_chunk * n_cols, |i, out| {
        let x = &x[i * rows_a_chunk * n_cols..][..out.len()];
        isa.run(
            #[inline(always)]
            || {
                for (x, out) in x.chunks_exact(n_cols).zip(out.chunks_exact_mut(n_cols)) {
                    let scale = 1.0 / (lanes::dot(x, x) / n_cols as f32 + eps).sqrt();
                    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                        *out = x * scale * weight;
                    }
                }
            },
        );
    });
}

/// `x += y`.
///
/// # Panics
/// If they differ in length.
pub fn add(team: &Team, x: &mut [f32], y: &[f32]) {
    zip(team, x, y, |x, y| x + y);
}

/// `gate = gate · sigmoid(gate) · up`.
///
/// # Panics
/// If they differ in length.
pub fn silu_mul(team: &Team, gate: &mut [f32], up: &[f32]) {
    zip(
        team,
        gate,
        up,
        #[inline(always)]
        |gate, up| gate / (1.0 + exp(-gate)) * up,
    );
}

/// `x = f(x, y)`, each by itself.
#[inline(always)]
fn zip(team: &Team, x: &mut [f32], y: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    assert_eq!(x.len(), y.len());
    let isa = team.isa();
    team.for_each_piece(x, CHUNK, |i, x| {
        let y = &y[i * CHUNK..][..x.len()];
        isa.run(
            #[inline(always)]
            || x.iter_mut().zip(y).for_each(|(x, &y)| *x = f(*x, y)),
        );
    });
}
