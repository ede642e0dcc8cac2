//! `TQ1_0` and `TQ2_0`: −1, 0 or 1 times one scale.
//!
//! What is decided is which weights are not 0: those above a threshold. For them the best scale is their mean magnitude, and the
//! error is Σx² less (Σ|x|)² / n over them. Thresholds are tried in steps of a fifth, then more closely around the best.

use super::lanes::{MAX_SCALE, MIN_SCALE, clamped, extreme, least, round, round_to_i8, sums, to_scales};
use super::pack::two_bits;
use super::symmetric::Scale;
use super::{Grid, exactly};
use blocks::{F16, Tq1_0, Tq2_0};

impl Grid for Tq1_0 {
    type Scales = Scale;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Scale {
        fit(weights, importance)
    }

    #[inline(always)]
    fn nearest(scale: &Scale, _: usize, weight: f32) -> (u8, f32) {
        nearest(scale, weight)
    }

    #[inline(always)]
    fn pack(scale: &Scale, codes: &[u8]) -> Self {
        let codes = exactly::<256, u8>(codes);
        let mut out = Tq1_0 { q: [0; 48], last: [0; 4], d: F16::from_f32(scale.d) };
        let (first, second) = out.q.split_at_mut(32);
        digits(&codes[..160], first);
        digits(&codes[160..240], second);
        digits(&codes[240..], &mut out.last);
        out
    }
}

impl Grid for Tq2_0 {
    type Scales = Scale;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Scale {
        fit(weights, importance)
    }

    #[inline(always)]
    fn nearest(scale: &Scale, _: usize, weight: f32) -> (u8, f32) {
        nearest(scale, weight)
    }

    #[inline(always)]
    fn pack(scale: &Scale, codes: &[u8]) -> Self {
        Tq2_0 { q: two_bits(codes), d: F16::from_f32(scale.d) }
    }
}

/// Digits in base three, the first codes in all bytes' first digits: five of them are a fraction of 243, rounded up to one of
/// 256.
#[inline(always)]
fn digits(codes: &[u8], out: &mut [u8]) {
    for i in 0..out.len() {
        let digit = |n: usize| codes.get(n * out.len() + i).map_or(0, |&code| u16::from(code));
        let number = (0..5).fold(0, |number, n| 3 * number + digit(n));
        out[i] = (number * 256).div_ceil(243) as u8;
    }
}

#[inline(always)]
fn nearest(&Scale { d, inverse }: &Scale, weight: f32) -> (u8, f32) {
    let q = (weight * inverse).clamp(-1.0, 1.0);
    ((round_to_i8(q) + 1) as u8, round(q) * d)
}

/// Of one threshold to the next.
const RATIO: f32 = 0.8;

#[inline(always)]
fn fit(weights: &[f32], importance: &[f32]) -> Scale {
    let x = &clamped::<256>(weights, -MAX_SCALE, MAX_SCALE);
    let importance = exactly::<256, f32>(importance);
    let max = extreme(x).abs();
    if max < 0.5 * MIN_SCALE {
        return Scale::of(0.0);
    }
    let mut widely = [0.5 * max; 16];
    for lane in 1..16 {
        widely[lane] = widely[lane - 1] * RATIO;
    }
    let (center, _) = best_threshold(x, importance, &widely);
    let closely: [f32; 16] = std::array::from_fn(|lane| center * (0.8 + 0.45 * lane as f32 / 16.0));
    let (_, mean) = best_threshold(x, importance, &closely);
    // The obvious scale stands by, and what the rounded one makes of the weights is its error.
    let scales = to_scales([max, mean]);
    let [errors] = sums::<2, 1>(x, importance, |x, importance, lane| {
        let magnitude = if x.abs() > 0.5 * scales[lane] { scales[lane] } else { 0.0 };
        let e = x.abs() - magnitude;
        [importance * (e * e)]
    });
    Scale::of(scales[least(&errors)])
}

/// The best threshold of some, and the mean magnitude of what is above it.
#[inline(always)]
fn best_threshold(x: &[f32; 256], importance: &[f32; 256], thresholds: &[f32; 16]) -> (f32, f32) {
    let [sum, n] = sums::<16, 2>(x, importance, |x, importance, lane| {
        let counted = if x.abs() > thresholds[lane] { importance } else { 0.0 };
        [counted * x.abs(), counted]
    });
    let means: [f32; 16] = std::array::from_fn(|lane| sum[lane] / n[lane].max(f32::MIN_POSITIVE));
    let lane = least::<16>(&std::array::from_fn(|lane| -sum[lane] * means[lane]));
    (thresholds[lane], means[lane])
}
