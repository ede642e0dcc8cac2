//! Sums over a block in eight lanes, the shape that vectorizers turn into vector instructions: floating-point addition
//! may not be reordered by the compiler, so the lanes have to be in the source.

/// Adding this to a number below 2²² leaves its nearest integer (ties to even) in the low bits of the sum. The
/// baseline of x86-64 has no instruction that rounds.
const ROUND: f32 = (3 << 22) as f32;

/// Lanes of the sums.
const LANES: usize = 8;

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

/// Sums `K` things over the block: `term` gives them for one weight.
#[inline(always)]
pub(super) fn sums<const N: usize, const K: usize>(x: &[f32; N], term: impl Fn(f32) -> [f32; K]) -> [f32; K] {
    let mut acc = [[0.0; LANES]; K];
    let (chunks, rest) = x.as_chunks::<LANES>();
    debug_assert!(rest.is_empty());
    for chunk in chunks {
        for lane in 0..LANES {
            let terms = term(chunk[lane]);
            for k in 0..K {
                acc[k][lane] += terms[k];
            }
        }
    }
    acc.map(|a| ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7])))
}

/// The largest magnitude.
#[inline(always)]
pub(super) fn max_abs<const N: usize>(x: &[f32; N]) -> f32 {
    let mut acc = [0.0f32; LANES];
    for chunk in x.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            let a = chunk[lane].abs();
            acc[lane] = if a > acc[lane] { a } else { acc[lane] };
        }
    }
    acc.into_iter().fold(0.0, f32::max)
}

/// A scale as the file will hold it: not 0, not infinite.
#[inline(always)]
pub(super) fn to_scale(d: f32) -> blocks::F16 {
    blocks::F16::from_f32(d.abs().clamp(MIN_SCALE, MAX_SCALE).copysign(d))
}
