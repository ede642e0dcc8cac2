//! `Q8_0`: the scale is one at which the largest weight falls on an integer, 127 or a little less.
//!
//! At eight bits a smaller scale buys next to nothing; but which of a few nearly equal scales is taken decides how the
//! other 31 weights happen to round, and the best of eight has a tenth less error than the first.
//! The largest weight lands on an integer in each of them, so that a block which was a `Q8_0` before comes out as it
//! was (if its scale is a normal half, with all its bits).

use super::lanes::{MAX_SCALE, MIN_SCALE, ZERO, errors, extreme, least, round_to_i8, to_scales};
use super::{Encode, each_block};
use blocks::{F16, Q8_0};

/// −128 is left out: without it a product of two codes and its negative have the same range.
const TOP: f32 = 127.0;

/// What the largest weight becomes.
const LARGEST: [f32; 8] = [TOP, 126.0, 125.0, 124.0, 123.0, 122.0, 121.0, 120.0];

impl Encode for Q8_0 {
    fn encode(weights: &[f32], out: &mut [Self]) {
        each_block(weights, out, block);
    }
}

fn block(weights: &[f32; 32]) -> Q8_0 {
    const LIMIT: f32 = MAX_SCALE * TOP;
    let x = &weights.map(|w| w.clamp(-LIMIT, LIMIT));
    let max = extreme(x).abs();
    if max < 0.5 * MIN_SCALE {
        return Q8_0 { d: ZERO, q: [0; 32] };
    }
    let scales = to_scales(LARGEST.map(|q| max / q));
    let d = scales[least(&errors(x, &scales, -TOP, TOP))];
    let inverse = 1.0 / d;
    Q8_0 { d: F16::from_f32(d), q: x.map(|x| round_to_i8((x * inverse).clamp(-TOP, TOP))) }
}
