//! `Q4_0` and `Q5_0`: integers −N…N−1 (N = 8, 16) and one scale, of either sign.
//!
//! The error as a function of the scale has many small minima, one for each set of integers. A candidate scale is used
//! to get a set of integers only; the best scale *for them* has a closed form, Σxq / Σq², and leaves the error
//! Σx² − (Σxq)² / Σq². So candidates are compared by (Σxq)² / Σq², and only the winner's scale is computed.

use super::lanes::{MAX_SCALE, MIN_SCALE, ZERO, errors, extreme, least, round, round_to_i8, sums, to_scales};
use super::pack::{fifth_bits, nibbles};
use super::{Encode, each_block};
use blocks::{F16, Q4_0, Q5_0};

impl Encode for Q4_0 {
    fn encode(weights: &[f32], out: &mut [Self]) {
        each_block(weights, out, |weights| {
            let (d, q) = fit::<8>(weights);
            Q4_0 { d, q: nibbles(&q) }
        });
    }
}

impl Encode for Q5_0 {
    fn encode(weights: &[f32], out: &mut [Self]) {
        each_block(weights, out, |weights| {
            let (d, q) = fit::<16>(weights);
            Q5_0 { d, high: fifth_bits(&q), q: nibbles(&q) }
        });
    }
}

/// Where the largest weight falls: so far beyond the last integer of one side.
const BEYOND: [f32; 8] = [-0.6, -0.3, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

/// Scale and integers (plus N) of a block.
#[inline(always)]
fn fit<const N: i32>(weights: &[f32; 32]) -> (F16, [i8; 32]) {
    let (low, high) = (-N as f32, (N - 1) as f32);
    let limit = MAX_SCALE * -low;
    let x = &weights.map(|w| w.clamp(-limit, limit));
    let max = extreme(x);
    if max.abs() < 0.5 * MIN_SCALE {
        return (ZERO, [N as i8; 32]);
    }
    let inverses: [f32; 16] = std::array::from_fn(|lane| {
        let beyond = BEYOND[lane / 2];
        (if lane % 2 == 0 { low - beyond } else { high + beyond }) / max
    });
    let [xq, qq] = sums::<16, 2>(x, |x, lane| {
        let q = round((x * inverses[lane]).clamp(low, high));
        [x * q, q * q]
    });
    // The largest weight rounds to no zero: qq > 0.
    let lane = least::<16>(&std::array::from_fn(|lane| -xq[lane] * xq[lane] / qq[lane]));
    // The obvious scale stands by: rounding to a half may spoil the better one.
    let scales = to_scales([max / low, xq[lane] / qq[lane]]);
    let d = scales[least(&errors(x, &scales, low, high))];
    let inverse = 1.0 / d;
    (F16::from_f32(d), x.map(|x| round_to_i8((x * inverse).clamp(low, high)) + N as i8))
}
