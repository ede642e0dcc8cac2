//! `Q4_0` and `Q5_0`: integers −N…N−1 (N = 8, 16) and one scale, of either sign.
//!
//! The error as a function of the scale has many small minima, one for each set of integers. A candidate scale is used
//! to get a set of integers only; the best scale *for them* has a closed form, Σxq / Σq², and leaves the error
//! Σx² − (Σxq)² / Σq². So candidates are compared by (Σxq)² / Σq², and only the winner's scale is computed. (All sums are
//! weighted by importance.)

use super::lanes::{MAX_SCALE, MIN_SCALE, errors, extreme, least, round, round_to_i8, sums, to_scales};
use super::pack::{fifth_bits, nibbles};
use super::{Grid, Scale, exactly, level};
use blocks::{F16, Q4_0, Q5_0};

impl Grid for Q4_0 {
    type Scales = Scale;

    fn fit(weights: &[f32], importance: &[f32]) -> Scale {
        level::run(|| fit::<8>(weights, importance))
    }

    #[inline(always)]
    fn nearest(scale: &Scale, _: usize, weight: f32) -> (u8, f32) {
        nearest::<8>(scale, weight)
    }

    #[inline(always)]
    fn pack(scale: &Scale, codes: &[u8]) -> Self {
        Q4_0 { d: F16::from_f32(scale.d), q: nibbles(codes) }
    }
}

impl Grid for Q5_0 {
    type Scales = Scale;

    fn fit(weights: &[f32], importance: &[f32]) -> Scale {
        level::run(|| fit::<16>(weights, importance))
    }

    #[inline(always)]
    fn nearest(scale: &Scale, _: usize, weight: f32) -> (u8, f32) {
        nearest::<16>(scale, weight)
    }

    #[inline(always)]
    fn pack(scale: &Scale, codes: &[u8]) -> Self {
        Q5_0 { d: F16::from_f32(scale.d), high: fifth_bits(codes), q: nibbles(codes) }
    }
}

/// The integer, plus N.
#[inline(always)]
fn nearest<const N: i32>(&Scale { d, inverse }: &Scale, weight: f32) -> (u8, f32) {
    let q = round((weight * inverse).clamp(-N as f32, (N - 1) as f32));
    ((round_to_i8(q) + N as i8) as u8, q * d)
}

/// Where the largest weight falls: so far beyond the last integer of one side.
const BEYOND: [f32; 8] = [-0.6, -0.3, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

/// A block's scale.
#[inline(always)]
fn fit<const N: i32>(weights: &[f32], importance: &[f32]) -> Scale {
    let (low, high) = (-N as f32, (N - 1) as f32);
    let limit = MAX_SCALE * -low;
    let x = &exactly::<32, f32>(weights).map(|w| w.clamp(-limit, limit));
    let importance = exactly::<32, f32>(importance);
    let max = extreme(x);
    if max.abs() < 0.5 * MIN_SCALE {
        return Scale::of(0.0);
    }
    let inverses: [f32; 16] = std::array::from_fn(|lane| {
        let beyond = BEYOND[lane / 2];
        (if lane % 2 == 0 { low - beyond } else { high + beyond }) / max
    });
    let [xq, qq] = sums::<16, 2>(x, importance, |x, importance, lane| {
        let q = round((x * inverses[lane]).clamp(low, high));
        let weighted = importance * q;
        [x * weighted, q * weighted]
    });
    // The largest weight rounds to no zero; its importance may be nothing.
    let lane =
        least::<16>(&std::array::from_fn(|lane| -xq[lane] * xq[lane] / qq[lane].max(f32::MIN_POSITIVE)));
    // The obvious scale stands by: rounding to a half may spoil the better one.
    let scales = to_scales([max / low, xq[lane] / qq[lane].max(f32::MIN_POSITIVE)]);
    Scale::of(scales[least(&errors(x, importance, &scales, low, high))])
}
