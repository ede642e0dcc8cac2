//! `Q6_K`: sixteen groups of 16 integers −32…31, each with an integer scale −128…127 of one f16.
//!
//! A group's scale is an integer, so it need not be fitted and then rounded: every scale tried is one that the file can
//! hold, and its error is the error. The f16 `d` is one at which the largest group has room for a scale near 127.

use super::lanes::{MAX_SCALE, MIN_SCALE, extreme, least, round, round_to_i8, sums, to_scales};
use super::{Encode, each_block};
use blocks::{F16, Q6K};
use bytemuck::Zeroable;

/// The integers of the weights.
const LOW: f32 = -32.0;
const HIGH: f32 = 31.0;

/// The scale of the group with the largest weight, about: `d` is chosen to make it so.
const LARGEST: [f32; 3] = [124.0, 117.0, 110.0];

impl Encode for Q6K {
    fn encode(weights: &[f32], out: &mut [Self]) {
        each_block(weights, out, block);
    }
}

fn block(weights: &[f32; 256]) -> Q6K {
    const LIMIT: f32 = MAX_SCALE * 127.0 * -LOW;
    let x = &weights.map(|w| w.clamp(-LIMIT, LIMIT));
    let max = extreme(x).abs();
    if max < 0.5 * MIN_SCALE {
        return Q6K::zeroed();
    }
    let groups = x.as_chunks::<16>().0;
    let mut best = ([0.0; 16], 0.0, f32::INFINITY);
    for d in to_scales(LARGEST.map(|scale| max / (HIGH * scale))) {
        let mut scales = [0.0; 16];
        let mut error = 0.0;
        for (scale, group) in scales.iter_mut().zip(groups) {
            let (found, its_error) = best_scale(group, d);
            *scale = found;
            error += its_error;
        }
        if error < best.2 {
            best = (scales, d, error);
        }
    }
    let (scales, d, _) = best;
    let mut q = [[0; 16]; 16];
    for ((q, group), scale) in q.iter_mut().zip(groups).zip(scales) {
        let inverse = inverse(d * scale);
        *q = group.map(|x| round_to_i8((x * inverse).clamp(LOW, HIGH)));
    }
    let mut out = Q6K { d: F16::from_f32(d), scales: scales.map(|scale| scale as i8), ..Q6K::zeroed() };
    pack(q.as_flattened(), &mut out);
    out
}

/// Of a step. With steps of nothing every integer is 0.
#[inline(always)]
fn inverse(step: f32) -> f32 {
    if step == 0.0 { 0.0 } else { 1.0 / step }
}

/// The group's scale of the least error, an integer −128…127, and the error.
#[inline(always)]
fn best_scale(x: &[f32; 16], d: f32) -> (f32, f32) {
    let max = extreme(x) / d;
    let centers = [LOW, HIGH].map(|edge| round((max / edge).clamp(-128.0, 127.0)));
    let scales: [f32; 16] = std::array::from_fn(|lane| {
        let off = (lane / 2) as f32 - 4.0;
        (centers[lane % 2] + off).clamp(-128.0, 127.0)
    });
    let steps = scales.map(|scale| scale * d);
    let inverses = steps.map(inverse);
    let [errors] = sums(x, |x, lane| {
        let e = x - round((x * inverses[lane]).clamp(LOW, HIGH)) * steps[lane];
        [e * e]
    });
    let best = least::<16>(&errors);
    (scales[best], errors[best])
}

/// Puts the integers where `runtime/blocks` says that they lie.
#[inline(always)]
fn pack(q: &[i8], out: &mut Q6K) {
    for half in 0..2 {
        let q = |k: usize, i: usize| (q[128 * half + 32 * k + i] + 32) as u8;
        for i in 0..32 {
            out.low[64 * half + i] = q(0, i) & 15 | q(2, i) << 4;
            out.low[64 * half + 32 + i] = q(1, i) & 15 | q(3, i) << 4;
            out.high[32 * half + i] =
                q(0, i) >> 4 | q(1, i) >> 4 << 2 | q(2, i) >> 4 << 4 | q(3, i) >> 4 << 6;
        }
    }
}
