//! Candidates side by side: the same sums over a block's weights for `K` candidates at once.
//!
//! A candidate is a lane. The inner loops run over lanes, which are independent of each other, so that the compiler makes
//! vector instructions of them on any machine and nothing is added across a vector. (One candidate at a time with the
//! weights in the lanes ended each sum in a chain of shuffles and scalar additions, and took twice as long.)

use half::slice::HalfFloatSliceExt;

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
    sums
}

/// Squared error of a block, weighted, with the integers `low`…`high` in steps of each lane's scale.
#[inline(always)]
pub(super) fn errors<const K: usize>(
    x: &[f32],
    importance: &[f32],
    steps: &[f32; K],
    low: f32,
    high: f32,
) -> [f32; K] {
    let inverses = steps.map(inverse);
    let [errors] = sums(x, importance, |x, importance, lane| {
        let e = x - round((x * inverses[lane]).clamp(low, high)) * steps[lane];
        [importance * (e * e)]
    });
    errors
}

/// The lane of the smallest number; the first of equals.
#[inline(always)]
pub(super) fn least<const K: usize>(numbers: &[f32; K]) -> usize {
    let mut best = 0;
    for lane in 1..K {
        best = if numbers[lane] < numbers[best] { lane } else { best };
    }
    best
}

/// The weight of the largest magnitude.
#[inline(always)]
pub(super) fn extreme(x: &[f32]) -> f32 {
    // Without their signs, floats are ordered as integers are; and a maximum of integers the compiler may reorder.
    let largest = x.iter().fold(0, |largest, x| (x.abs().to_bits() as i32).max(largest));
    let largest = f32::from_bits(largest as u32);
    if x.contains(&largest) { largest } else { -largest }
}

/// Scales as the file will hold them: rounded to halves, not 0, not infinite.
#[inline(always)]
pub(super) fn to_scales<const K: usize>(scales: [f32; K]) -> [f32; K] {
    let mut halves = [half::f16::ZERO; K];
    let mut rounded = [0.0; K];
    halves.convert_from_f32_slice(&scales.map(|d| d.abs().clamp(MIN_SCALE, MAX_SCALE).copysign(d)));
    halves.convert_to_f32_slice(&mut rounded);
    rounded
}

/// Of a step. With steps of nothing every integer is 0.
#[inline(always)]
pub(super) fn inverse(step: f32) -> f32 {
    if step == 0.0 { 0.0 } else { 1.0 / step }
}
