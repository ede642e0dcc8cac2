//! `Q4_1` and `Q5_1`: integers 0…T (T = 15, 31), a scale and a minimum.
//!
//! As for the symmetric formats: a candidate range gives a set of integers, and for them scale and minimum have a
//! closed form, a straight line through the points (q, x). With n weights it leaves the error
//! Σ(x − x̄)² − C² / (n V), where C = n Σxq − Σx Σq and V = n Σq² − (Σq)²; candidates are compared by C² / V.

use super::lanes::{MAX_SCALE, MIN_SCALE, max_abs, round, round_to_i8, sums, to_scale};
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
const CUTS: [(f32, f32); 9] = [
    (0.0, 0.0),
    (0.4, 0.0),
    (0.0, 0.4),
    (0.4, 0.4),
    (0.8, 0.0),
    (0.0, 0.8),
    (0.8, 0.8),
    (-0.3, -0.3),
    (0.2, 0.2),
];

/// Scale, minimum and integers of a block.
#[inline(always)]
fn fit<const T: i32>(weights: &[f32; 32]) -> (F16, F16, [i8; 32]) {
    const N: f32 = 32.0;
    let top = T as f32;
    let x = &weights.map(|w| w.clamp(-MAX_SCALE, MAX_SCALE));
    if max_abs(x) < 0.5 * MIN_SCALE {
        return (F16::from_f32(0.0), F16::from_f32(0.0), [0; 32]);
    }
    let (min, max) = x.iter().fold((x[0], x[0]), |(min, max), &x| (min.min(x), max.max(x)));
    let step = (max - min) / top;
    let [sum] = sums(x, |x| [x]);

    let (mut best, mut best_c, mut best_v) = ((min, step), 0.0, 1.0);
    for (low, high) in CUTS {
        let start = min + low * step;
        let inverse = 1.0 / (step * ((top - low - high) / top));
        let [xq, q1, qq] = sums(x, |x| {
            let q = round(((x - start) * inverse).clamp(0.0, top));
            [x * q, q, q * q]
        });
        let (c, v) = (N * xq - sum * q1, N * qq - q1 * q1);
        if c * c * best_v > best_c * best_c * v {
            let d = c / v;
            (best, best_c, best_v) = (((sum - d * q1) / N, d), c, v);
        }
    }
    let halves = |(m, d): (f32, f32)| (F16::from_f32(m), to_scale(d));
    let error = |(m, d): (F16, F16)| {
        let (m, d, inverse) = (m.to_f32(), d.to_f32(), 1.0 / d.to_f32());
        let [error] = sums(x, |x| {
            let e = x - (round(((x - m) * inverse).clamp(0.0, top)) * d + m);
            [e * e]
        });
        error
    };
    let (obvious, found) = (halves((min, step)), halves(best));
    let (m, d) = if error(found) <= error(obvious) { found } else { obvious };
    let (start, inverse) = (m.to_f32(), 1.0 / d.to_f32());
    (d, m, x.map(|x| round_to_i8(((x - start) * inverse).clamp(0.0, top))))
}
