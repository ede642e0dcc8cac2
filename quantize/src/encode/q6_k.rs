//! `Q6_K`: sixteen groups of 16 integers −32…31, each with an integer scale −128…127 of one f16.
//!
//! A group's scale is an integer, so it need not be fitted and then rounded: every scale tried is one that the file can
//! hold, and its error is the error. The f16 `d` is one at which the largest group has room for a scale near 127.

use super::lanes::{MAX_SCALE, MIN_SCALE, errors, extreme, inverse, least, round, round_to_i8, to_scales};
use super::{Grid, exactly, level};
use blocks::{F16, Q6K};
use bytemuck::Zeroable;

/// The integers of the weights.
const LOW: f32 = -32.0;
const HIGH: f32 = 31.0;

/// The scale of the group with the largest weight, about: `d` is chosen to make it so.
const LARGEST: [f32; 3] = [124.0, 117.0, 110.0];

/// A block's scale and its groups'.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    d: f32,
    scales: [i8; 16],
    steps: [f32; 16],
    inverses: [f32; 16],
}

impl Groups {
    #[inline(always)]
    fn of(d: f32, scales: [f32; 16]) -> Self {
        let steps = scales.map(|scale| d * scale);
        Self { d, scales: scales.map(|scale| scale as i8), steps, inverses: steps.map(inverse) }
    }
}

impl Grid for Q6K {
    type Scales = Groups;

    fn fit(weights: &[f32], importance: &[f32]) -> Groups {
        level::run(|| fit(weights, importance))
    }

    #[inline(always)]
    fn nearest(groups: &Groups, at: usize, weight: f32) -> (u8, f32) {
        let q = round((weight * groups.inverses[at / 16]).clamp(LOW, HIGH));
        ((round_to_i8(q) + 32) as u8, groups.steps[at / 16] * q)
    }

    /// Puts the integers where `runtime/blocks` says that they lie.
    #[inline(always)]
    fn pack(groups: &Groups, codes: &[u8]) -> Self {
        let mut out = Q6K { d: F16::from_f32(groups.d), scales: groups.scales, ..Q6K::zeroed() };
        for (half, codes) in exactly::<256, u8>(codes).as_chunks::<128>().0.iter().enumerate() {
            let q = |k: usize, i: usize| codes[32 * k + i];
            for i in 0..32 {
                out.low[64 * half + i] = q(0, i) & 15 | q(2, i) << 4;
                out.low[64 * half + 32 + i] = q(1, i) & 15 | q(3, i) << 4;
                out.high[32 * half + i] =
                    q(0, i) >> 4 | q(1, i) >> 4 << 2 | q(2, i) >> 4 << 4 | q(3, i) >> 4 << 6;
            }
        }
        out
    }
}

#[inline(always)]
fn fit(weights: &[f32], importance: &[f32]) -> Groups {
    const LIMIT: f32 = MAX_SCALE * 127.0 * -LOW;
    let x = &exactly::<256, f32>(weights).map(|w| w.clamp(-LIMIT, LIMIT));
    let max = extreme(x).abs();
    if max < 0.5 * MIN_SCALE {
        return Groups::of(0.0, [0.0; 16]);
    }
    let groups = x.as_chunks::<16>().0;
    let importance = exactly::<256, f32>(importance).as_chunks::<16>().0;
    let mut best = ([0.0; 16], 0.0, f32::INFINITY);
    for d in to_scales(LARGEST.map(|scale| max / (HIGH * scale))) {
        let mut scales = [0.0; 16];
        let mut error = 0.0;
        for (scale, (group, importance)) in scales.iter_mut().zip(groups.iter().zip(importance)) {
            let (found, its_error) = best_scale(group, importance, d);
            *scale = found;
            error += its_error;
        }
        if error < best.2 {
            best = (scales, d, error);
        }
    }
    Groups::of(best.1, best.0)
}

/// The group's scale of the least error, an integer −128…127, and the error.
#[inline(always)]
fn best_scale(x: &[f32; 16], importance: &[f32; 16], d: f32) -> (f32, f32) {
    let max = extreme(x) / d;
    let centers = [LOW, HIGH].map(|edge| round((max / edge).clamp(-128.0, 127.0)));
    let scales: [f32; 16] = std::array::from_fn(|lane| {
        let off = (lane / 2) as f32 - 4.0;
        (centers[lane % 2] + off).clamp(-128.0, 127.0)
    });
    let errors = errors::<16>(x, importance, &scales.map(|scale| scale * d), LOW, HIGH);
    let best = least::<16>(&errors);
    (scales[best], errors[best])
}
