//! `Q4_1` and `Q5_1`: integers 0…T (T = 15, 31), a scale and a minimum.
//!
//! As for the symmetric formats: a candidate range gives a set of integers, and for them scale and minimum have a
//! closed form, a straight line through the points (q, x). With n weights it leaves the error
//! Σ(x − x̄)² − C² / (n V), where C = n Σxq − Σx Σq and V = n Σq² − (Σq)²; candidates are compared by C² / V.

use super::lanes::{MAX_SCALE, MIN_SCALE, extreme, inverse, least, round, round_to_i8, sums, to_scales};
use super::pack::{fifth_bits, nibbles};
use super::{Grid, exactly, level};
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

    fn fit(weights: &[f32], importance: &[f32]) -> Line {
        level::run(|| fit::<15>(weights, importance))
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

    fn fit(weights: &[f32], importance: &[f32]) -> Line {
        level::run(|| fit::<31>(weights, importance))
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
    let q = round(((weight - m) * inverse).clamp(0.0, T as f32));
    (round_to_i8(q) as u8, q * d + m)
}

/// How much of the range is cut off at the low and at the high end, in steps.
const CUTS: [(f32, f32); 8] =
    [(0.0, 0.0), (0.4, 0.0), (0.0, 0.4), (0.4, 0.4), (0.8, 0.0), (0.0, 0.8), (0.8, 0.8), (-0.3, -0.3)];

/// Scale and minimum of a block.
#[inline(always)]
fn fit<const T: i32>(weights: &[f32], importance: &[f32]) -> Line {
    let top = T as f32;
    let x = &exactly::<32, f32>(weights).map(|w| w.clamp(-MAX_SCALE, MAX_SCALE * (top + 1.0)));
    let importance = exactly::<32, f32>(importance);
    if extreme(x).abs() < 0.5 * MIN_SCALE {
        return Line { d: 0.0, m: 0.0, inverse: 0.0 };
    }
    let (min, max) = ends(x);
    let min = min.min(MAX_SCALE);
    let step = (max - min) / top;
    let starts = CUTS.map(|(low, _)| min + low * step);
    let inverses = CUTS.map(|(low, high)| 1.0 / (step * ((top - low - high) / top)).max(f32::MIN_POSITIVE));
    let [total, sum] = sums::<1, 2>(x, importance, |x, importance, _| [importance, importance * x]);
    let ([n], [sum]) = ([total[0]], [sum[0]]);
    let [xq, q, qq] = sums::<8, 3>(x, importance, |x, importance, lane| {
        let q = round(((x - starts[lane]) * inverses[lane]).clamp(0.0, top));
        let weighted = importance * q;
        [x * weighted, weighted, q * weighted]
    });
    // Covariance and variance of the line, times N². All integers equal: no line, no gain.
    let c: [f32; 8] = std::array::from_fn(|lane| n * xq[lane] - sum * q[lane]);
    let v: [f32; 8] = std::array::from_fn(|lane| (n * qq[lane] - q[lane] * q[lane]).max(f32::MIN_POSITIVE));
    let lane = least::<8>(&std::array::from_fn(|lane| -c[lane] * c[lane] / v[lane]));
    let slope = c[lane] / v[lane];
    // The obvious range stands by: rounding to halves may spoil the better one.
    let scales = to_scales([step, slope]);
    let intercept = (sum - slope * q[lane]) / n;
    let minimums = [min, intercept.clamp(-MAX_SCALE, MAX_SCALE)].map(|m| F16::from_f32(m).to_f32());
    let inverses = scales.map(inverse);
    let [errors] = sums::<2, 1>(x, importance, |x, importance, lane| {
        let q = round(((x - minimums[lane]) * inverses[lane]).clamp(0.0, top));
        let e = x - (q * scales[lane] + minimums[lane]);
        [importance * (e * e)]
    });
    let lane = least(&errors);
    Line { d: scales[lane], m: minimums[lane], inverse: inverses[lane] }
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
