//! `Q4_1` and `Q5_1`: integers 0…T (T = 15, 31), a scale and a minimum.
//!
//! As for the symmetric formats: a candidate range gives a set of integers, and for them scale and minimum have a
//! closed form, a straight line through the points (q, x). With n weights it leaves the error
//! Σ(x − x̄)² − C² / (n V), where C = n Σxq − Σx Σq and V = n Σq² − (Σq)²; candidates are compared by C² / V.

use super::lanes::{MAX_SCALE, MIN_SCALE, ZERO, extreme, least, round, round_to_i8, sums, to_scales};
use super::pack::{fifth_bits, nibbles};
use super::{Encode, each_block};
use blocks::{F16, Q4_1, Q5_1};

impl Encode for Q4_1 {
    fn encode(weights: &[f32], out: &mut [Self]) {
        each_block(weights, out, |weights| {
            let (d, m, q) = fit::<15>(weights);
            Q4_1 { d, m, q: nibbles(&q) }
        });
    }
}

impl Encode for Q5_1 {
    fn encode(weights: &[f32], out: &mut [Self]) {
        each_block(weights, out, |weights| {
            let (d, m, q) = fit::<31>(weights);
            Q5_1 { d, m, high: fifth_bits(&q), q: nibbles(&q) }
        });
    }
}

/// How much of the range is cut off at the low and at the high end, in steps.
const CUTS: [(f32, f32); 8] =
    [(0.0, 0.0), (0.4, 0.0), (0.0, 0.4), (0.4, 0.4), (0.8, 0.0), (0.0, 0.8), (0.8, 0.8), (-0.3, -0.3)];

/// Scale, minimum and integers of a block.
#[inline(always)]
fn fit<const T: i32>(weights: &[f32; 32]) -> (F16, F16, [i8; 32]) {
    const N: f32 = 32.0;
    let top = T as f32;
    let x = &weights.map(|w| w.clamp(-MAX_SCALE, MAX_SCALE * (top + 1.0)));
    if extreme(x).abs() < 0.5 * MIN_SCALE {
        return (ZERO, ZERO, [0; 32]);
    }
    let (min, max) = ends(x);
    let min = min.min(MAX_SCALE);
    let step = (max - min) / top;
    let starts = CUTS.map(|(low, _)| min + low * step);
    let inverses = CUTS.map(|(low, high)| 1.0 / (step * ((top - low - high) / top)).max(f32::MIN_POSITIVE));
    let [sum, xq, q, qq] = sums::<8, 4>(x, |x, lane| {
        let q = round(((x - starts[lane]) * inverses[lane]).clamp(0.0, top));
        [x, x * q, q, q * q]
    });
    // Covariance and variance of the line, times N². All integers equal: no line, no gain.
    let c: [f32; 8] = std::array::from_fn(|lane| N * xq[lane] - sum[lane] * q[lane]);
    let v: [f32; 8] = std::array::from_fn(|lane| (N * qq[lane] - q[lane] * q[lane]).max(1.0));
    let lane = least::<8>(&std::array::from_fn(|lane| -c[lane] * c[lane] / v[lane]));
    let slope = c[lane] / v[lane];
    // The obvious range stands by: rounding to halves may spoil the better one.
    let scales = to_scales([step, slope]);
    let intercept = (sum[lane] - slope * q[lane]) / N;
    let minimums = [min, intercept.clamp(-MAX_SCALE, MAX_SCALE)].map(|m| F16::from_f32(m).to_f32());
    let inverses = scales.map(f32::recip);
    let [errors] = sums::<2, 1>(x, |x, lane| {
        let q = round(((x - minimums[lane]) * inverses[lane]).clamp(0.0, top));
        let e = x - (q * scales[lane] + minimums[lane]);
        [e * e]
    });
    let lane = least(&errors);
    let (d, m, inverse) = (scales[lane], minimums[lane], inverses[lane]);
    let q = x.map(|x| round_to_i8(((x - m) * inverse).clamp(0.0, top)));
    (F16::from_f32(d), F16::from_f32(m), q)
}

/// Smallest and largest weight.
#[inline(always)]
fn ends(x: &[f32; 32]) -> (f32, f32) {
    let (mut min, mut max) = ([x[0]; 8], [x[0]; 8]);
    for eight in x.as_chunks::<8>().0 {
        for (lane, &x) in eight.iter().enumerate() {
            min[lane] = min[lane].min(x);
            max[lane] = max[lane].max(x);
        }
    }
    (min.into_iter().fold(min[0], f32::min), max.into_iter().fold(max[0], f32::max))
}
