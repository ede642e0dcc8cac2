//! `Q4_0` and `Q5_0`: integers −N…N−1 (N = 8, 16) and one scale, of either sign.
//!
//! The error as a function of the scale has many small minima, one for each set of integers. A candidate scale is used
//! to get a set of integers only; the best scale *for them* has a closed form, Σxq / Σq², and leaves the error
//! Σx² − (Σxq)² / Σq². So candidates are compared by (Σxq)² / Σq², and only the winner's scale is computed.

use super::lanes::{MAX_SCALE, MIN_SCALE, max_abs, round, round_to_i8, sums, to_scale};
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

/// Where the largest weight falls, beyond the last integer of its side: on the side of −N and on the side of N − 1.
const BEYOND: [f32; 8] = [-0.6, -0.3, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

/// Scale and integers (plus N) of a block.
#[inline(always)]
fn fit<const N: i32>(weights: &[f32; 32]) -> (F16, [i8; 32]) {
    let (low, high) = (-N as f32, (N - 1) as f32);
    let limit = MAX_SCALE * high;
    let x = &weights.map(|w| w.clamp(-limit, limit));
    let max = max_abs(x);
    if max < 0.5 * MIN_SCALE {
        return (F16::from_f32(0.0), [N as i8; 32]);
    }
    // The largest weight, with its sign.
    let max = if x.contains(&max) { max } else { -max };

    let (mut best, mut best_xq, mut best_qq) = (0.0, 0.0, 1.0);
    for edge in [low, high] {
        for beyond in BEYOND {
            let inverse = (edge + beyond * edge.signum()) / max;
            let [xq, qq] = sums(x, |x| {
                let q = round((x * inverse).clamp(low, high));
                [x * q, q * q]
            });
            // Without a division: gain = xq² / qq.
            if xq * xq * best_qq > best_xq * best_xq * qq {
                (best, best_xq, best_qq) = (xq / qq, xq, qq);
            }
        }
    }
    let obvious = to_scale(max / low);
    let found = to_scale(best);
    let error = |d: F16| {
        let (d, inverse) = (d.to_f32(), 1.0 / d.to_f32());
        let [error] = sums(x, |x| {
            let e = x - round((x * inverse).clamp(low, high)) * d;
            [e * e]
        });
        error
    };
    let d = if error(found) <= error(obvious) { found } else { obvious };
    let inverse = 1.0 / d.to_f32();
    (d, x.map(|x| round_to_i8((x * inverse).clamp(low, high)) + N as i8))
}
