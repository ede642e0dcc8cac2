//! `Q8_0`: the scale is one at which the largest weight falls on an integer, 127 or a little less.
//!
//! At eight bits a smaller scale buys next to nothing; but which of a few nearly equal scales is taken decides how the
//! other 31 weights happen to round, and the best of eight has 10 % less error than the first.
//! The largest weight lands on an integer in each of them, so that a block which was a `Q8_0` before comes out as it was.

use super::lanes::{MAX_SCALE, MIN_SCALE, max_abs, round, round_to_i8, sums, to_scale};
use super::{Encode, each_block};
use blocks::{F16, Q8_0};

/// −128 is left out: without it a product of two codes and its negative have the same range.
const TOP: f32 = 127.0;

/// What the largest weight becomes.
const CANDIDATES: [f32; 8] = [TOP, 126.0, 125.0, 124.0, 123.0, 122.0, 121.0, 120.0];

impl Encode for Q8_0 {
    fn encode(weights: &[f32], out: &mut [Self]) {
        each_block(weights, out, block);
    }
}

fn block(weights: &[f32; 32]) -> Q8_0 {
    const LIMIT: f32 = MAX_SCALE * TOP;
    let x = &weights.map(|w| w.clamp(-LIMIT, LIMIT));
    let max = max_abs(x);
    if max < 0.5 * MIN_SCALE {
        return Q8_0 { d: F16::from_f32(0.0), q: [0; 32] };
    }
    let mut best = (F16::from_f32(0.0), f32::INFINITY);
    for top in CANDIDATES {
        let d = to_scale(max / top);
        let (step, inverse) = (d.to_f32(), 1.0 / d.to_f32());
        let [error] = sums(x, |x| {
            let e = x - round((x * inverse).clamp(-TOP, TOP)) * step;
            [e * e]
        });
        if error < best.1 {
            best = (d, error);
        }
    }
    let inverse = 1.0 / best.0.to_f32();
    Q8_0 { d: best.0, q: x.map(|x| round_to_i8((x * inverse).clamp(-TOP, TOP))) }
}
