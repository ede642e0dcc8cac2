//! Candidates side by side: the same sums over a block's weights for `K` candidates at once.
//!
//! A candidate is a lane. The inner loops run over lanes, which are independent of each other, so that the compiler makes
//! vector instructions of them on any machine and nothing is added across a vector. (One candidate at a time with the
//! weights in the lanes ended each sum in a chain of shuffles and scalar additions, and took twice as long.)

use super::exactly;
use super::levels::Levels;

/// Adding this to a number below 2²² leaves its nearest integer (ties to even) in the low bits of the sum. The
/// baseline of x86-64 has no instruction that rounds.
const ROUND: f32 = (3 << 22) as f32;

/// The smallest scale that an f16 can hold. A block whose weights are all below half of it can only be zero.
pub(super) const MIN_SCALE: f32 = 1.0 / (1 << 24) as f32;

/// The largest.
pub(super) const MAX_SCALE: f32 = 65504.0;

/// The nearest integer of a number below 2²².
#[inline(always)]
pub(super) fn round(x: f32) -> f32 {
    (x + ROUND) - ROUND
}

/// The nearest integer of a number in −128…127.
#[inline(always)]
pub(super) fn round_to_i8(x: f32) -> i8 {
    (x + ROUND).to_bits() as i8
}

/// For each lane, what `terms` gives for every weight and its importance, summed.
#[inline(always)]
pub(super) fn sums<const K: usize, const S: usize>(
    x: &[f32],
    importance: &[f32],
    terms: impl Fn(f32, f32, usize) -> [f32; S],
) -> [[f32; K]; S] {
    let mut sums = [[0.0; K]; S];
    for (&x, &importance) in x.iter().zip(importance) {
        for lane in 0..K {
            let terms = terms(x, importance, lane);
            for (sum, term) in sums.iter_mut().zip(terms) {
                sum[lane] += term;
            }
        }
    }
    sums.map(alike)
}

/// Squared error of weights, weighted, with levels in each lane's step.
#[inline(always)]
pub(super) fn errors<const K: usize, L: Levels>(x: &[f32], importance: &[f32], steps: &[f32; K]) -> [f32; K] {
    let steps = alike(*steps);
    let inverses = steps.map(inverse);
    let [errors] = sums(x, importance, |x, importance, lane| {
        let e = x - L::nearest(x * inverses[lane]) * steps[lane];
        [importance * (e * e)]
    });
    errors
}

/// The lanes, of which the compiler knows neither how each came about nor what becomes of it. Where it did, it took one apart
/// from the others, and made smaller vectors of what was left.
#[inline(always)]
pub(super) fn alike<const K: usize>(lanes: [f32; K]) -> [f32; K] {
    std::hint::black_box(lanes)
}

/// The lane of the smallest number; the first of equals.
#[inline(always)]
pub(super) fn least<const K: usize>(numbers: &[f32; K]) -> usize {
    // The number first, in halves, then its lane by a mask: a chain of lanes took as long as the sums.
    let numbers = alike(*numbers);
    let (mut halves, mut n) = (numbers, K);
    while n > 1 {
        let rest = n.div_ceil(2);
        for i in 0..n - rest {
            halves[i] = if halves[i + rest] < halves[i] { halves[i + rest] } else { halves[i] };
        }
        n = rest;
    }
    let mut equal = 0_u32;
    for (lane, number) in numbers.into_iter().enumerate() {
        equal |= u32::from(number == halves[0]) << lane;
    }
    (equal.trailing_zeros() as usize).min(K - 1)
}

/// The weight of the largest magnitude.
#[inline(always)]
pub(super) fn extreme(x: &[f32]) -> f32 {
    // Without their signs, floats are ordered as integers are; and a maximum of integers the compiler may reorder.
    let largest = x.iter().fold(0, |largest, x| (x.abs().to_bits() as i32).max(largest));
    let largest = f32::from_bits(largest as u32);
    if x.contains(&largest) { largest } else { -largest }
}

/// Weights within a range. (`map` over so long an array is not inlined, nor compiled for the processor.)
#[inline(always)]
pub(super) fn clamped<const N: usize>(weights: &[f32], low: f32, high: f32) -> [f32; N] {
    let mut x = *exactly::<N, f32>(weights);
    for x in &mut x {
        *x = x.clamp(low, high);
    }
    x
}

/// Smallest and largest weight.
#[inline(always)]
pub(super) fn ends(x: &[f32]) -> (f32, f32) {
    let (mut min, mut max) = ([x[0]; 8], [x[0]; 8]);
    for eight in x.as_chunks::<8>().0 {
        for (lane, &x) in eight.iter().enumerate() {
            min[lane] = min[lane].min(x);
            max[lane] = max[lane].max(x);
        }
    }
    (min.into_iter().fold(min[0], f32::min), max.into_iter().fold(max[0], f32::max))
}

/// Scales as the file will hold them: rounded to halves, not 0, not infinite.
#[inline(always)]
pub(super) fn to_scales<const K: usize>(scales: [f32; K]) -> [f32; K] {
    let mut scales = alike(scales);
    for d in &mut scales {
        *d = to_scale(*d);
    }
    alike(scales)
}

/// One of them.
#[inline(always)]
pub(super) fn to_scale(d: f32) -> f32 {
    to_half(d.abs().clamp(MIN_SCALE, MAX_SCALE)).copysign(d)
}

/// A half that is nearest to a number between 0 and the largest half. (The conversion of `half` is a call for each number.)
#[inline(always)]
pub(super) fn to_half(x: f32) -> f32 {
    const SMALLEST_NORMAL: f32 = 1.0 / (1 << 14) as f32;
    // Subnormal halves are multiples of the smallest. Else 11 of 24 bits are left: what cancels are the others. Both are
    // there before it is asked which: no branch.
    let large = x * ((1 << 13) + 1) as f32;
    let (subnormal, normal) = ((x + 0.75) - 0.75, large - (large - x));
    if x < SMALLEST_NORMAL { subnormal } else { normal }
}

/// Of a step. With steps of nothing every integer is 0.
#[inline(always)]
pub(super) fn inverse(step: f32) -> f32 {
    if step == 0.0 { 0.0 } else { 1.0 / step }
}
