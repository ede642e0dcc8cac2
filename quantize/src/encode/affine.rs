//! A scale and a minimum: `Q4_1` and `Q5_1`, integers 0…T (T = 15, 31).
//!
//! As for the symmetric formats: a candidate range gives a set of integers, and for them scale and minimum have a
//! closed form, a straight line through the points (q, x). With n weights it leaves the error
//! Σ(x − x̄)² − C² / (n V), where C = n Σxq − Σx Σq and V = n Σq² − (Σq)². (All sums are weighted by importance, n too.)

use super::lanes::{
    MAX_SCALE, MIN_SCALE, clamped, ends, extreme, inverse, least, round, round_to_i8, sums, to_half,
    to_scales,
};
use super::pack::{fifth_bits, nibbles};
use super::{Grid, exactly};
use blocks::{F16, Q4_1, Q5_1};

/// A block's scale and minimum.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    d: f32,
    m: f32,
    inverse: f32,
}

impl Grid for Q4_1 {
    type Scales = Line;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Line {
        fit::<15>(weights, importance)
    }

    #[inline(always)]
    fn nearest(line: &Line, _: usize, weight: f32) -> (u8, f32) {
        nearest::<15>(line, weight)
    }

    #[inline(always)]
    fn pack(line: &Line, codes: &[u8]) -> Self {
        Q4_1 { d: F16::from_f32(line.d), m: F16::from_f32(line.m), q: nibbles(codes) }
    }
}

impl Grid for Q5_1 {
    type Scales = Line;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Line {
        fit::<31>(weights, importance)
    }

    #[inline(always)]
    fn nearest(line: &Line, _: usize, weight: f32) -> (u8, f32) {
        nearest::<31>(line, weight)
    }

    #[inline(always)]
    fn pack(line: &Line, codes: &[u8]) -> Self {
        let (d, m) = (F16::from_f32(line.d), F16::from_f32(line.m));
        Q5_1 { d, m, high: fifth_bits(codes), q: nibbles(codes) }
    }
}

#[inline(always)]
fn nearest<const T: i32>(&Line { d, m, inverse }: &Line, weight: f32) -> (u8, f32) {
    let q = ((weight - m) * inverse).clamp(0.0, T as f32);
    (round_to_i8(q) as u8, round(q) * d + m)
}

/// Scale and minimum of a block.
#[inline(always)]
fn fit<const T: i32>(weights: &[f32], importance: &[f32]) -> Line {
    let top = T as f32;
    let x = &clamped::<32>(weights, -MAX_SCALE, MAX_SCALE * (top + 1.0));
    let importance = exactly::<32, f32>(importance);
    if extreme(x).abs() < 0.5 * MIN_SCALE {
        return Line { d: 0.0, m: 0.0, inverse: 0.0 };
    }
    let (min, max) = ends(x);
    let min = min.min(MAX_SCALE);
    let (slope, intercept) = best_line::<8, T, false>(x, importance, (min, max), &CUTS);
    // The obvious range stands by: rounding to halves may spoil the better one.
    let scales = to_scales([(max - min) / top, slope]);
    let minimums = [min, intercept.clamp(-MAX_SCALE, MAX_SCALE)].map(|m| to_half(m.abs()).copysign(m));
    let inverses = scales.map(inverse);
    let [errors] = sums::<2, 1>(x, importance, |x, importance, lane| {
        let q = round(((x - minimums[lane]) * inverses[lane]).clamp(0.0, top));
        let e = x - (q * scales[lane] + minimums[lane]);
        [importance * (e * e)]
    });
    let lane = least(&errors);
    Line { d: scales[lane], m: minimums[lane], inverse: inverses[lane] }
}

/// How much of the range is cut off at the low and at the high end, in steps.
const CUTS: [(f32, f32); 8] =
    [(0.0, 0.0), (0.4, 0.0), (0.0, 0.4), (0.4, 0.4), (0.8, 0.0), (0.0, 0.8), (0.8, 0.8), (-0.3, -0.3)];

/// The line through the integers 0…T that fits weights best, by its slope and its value at 0, which is not positive if
/// it is `BOUND`. The candidates cut `cuts` off the range.
#[inline(always)]
pub(super) fn best_line<const K: usize, const T: i32, const BOUND: bool>(
    x: &[f32],
    importance: &[f32],
    (min, max): (f32, f32),
    cuts: &[(f32, f32); K],
) -> (f32, f32) {
    let top = T as f32;
    let step = (max - min) / top;
    let starts = cuts.map(|(low, _)| low * step);
    let inverses = cuts.map(|(low, high)| 1.0 / (step * ((top - low - high) / top)).max(f32::MIN_POSITIVE));
    // From the minimum on: far from zero there would be nothing left of the differences.
    let [[n], [sum], [xx]] = sums::<1, 3>(x, importance, |x, importance, _| {
        let x = x - min;
        [importance, importance * x, importance * (x * x)]
    });
    let n = n.max(f32::MIN_POSITIVE);
    let [xq, q, qq] = sums::<K, 3>(x, importance, |x, importance, lane| {
        let x = x - min;
        let q = round(((x - starts[lane]) * inverses[lane]).clamp(0.0, top));
        let weighted = importance * q;
        [x * weighted, weighted, q * weighted]
    });
    let mut lines = [(0.0, 0.0); K];
    let errors: [f32; K] = std::array::from_fn(|lane| {
        // Covariance and variance of the line, times n². All integers equal: no line, no gain.
        let c = n * xq[lane] - sum * q[lane];
        let v = n * qq[lane] - q[lane] * q[lane];
        let slope = if v > 1e-5 * n * qq[lane] { c / v } else { 0.0 };
        let intercept = (sum - slope * q[lane]) / n;
        lines[lane] = (slope, min + intercept);
        if !BOUND || min + intercept <= 0.0 {
            return xx - (sum * sum + c * slope) / n;
        }
        let xq = xq[lane] + min * q[lane];
        let slope = xq / qq[lane].max(f32::MIN_POSITIVE);
        lines[lane] = (slope, 0.0);
        xx + min * (2.0 * sum + min * n) - xq * slope
    });
    lines[least(&errors)]
}
