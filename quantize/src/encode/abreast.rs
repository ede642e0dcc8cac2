//! Blocks side by side: the same search in eight of them at once.
//!
//! A lane is a block, and candidates come one after another. So a candidate's sums and what is decided by them stay in vectors,
//! and the processor has a chain to itself for each candidate. (Candidates as lanes ended every step in a search across a
//! vector, for which the next step waited: half of the time of the short searches.)

use super::lanes::{alike, inverse};
use super::levels::Levels;
use super::{exactly, square};

/// Blocks abreast.
pub(super) const LANES: usize = 8;

/// A number of each.
pub(super) type Lanes = [f32; LANES];

/// What `change` makes of blocks' floats, `[float][block]`.
#[inline(always)]
pub(super) fn across<const LEN: usize>(
    blocks: &[&[f32]; LANES],
    change: impl Fn(f32) -> f32,
) -> [Lanes; LEN] {
    let blocks = blocks.map(exactly::<LEN, f32>);
    let mut across = [[0.0; LANES]; LEN];
    for (i, across) in across.iter_mut().enumerate() {
        for lane in 0..LANES {
            across[lane] = change(blocks[lane][i]);
        }
    }
    across
}

/// As [`price`](super::price), of each block.
// `alike` in loops that carry no sum of floats from one weight to the next: of those the compiler took several weights at
// once, and turned all of them about and back for it. Without, a third of `Q4_0`'s time went there.
#[inline(always)]
pub(super) fn prices<const LEN: usize>(
    x: &[Lanes; LEN],
    importance: Option<&[&[f32]; LANES]>,
) -> [Lanes; LEN] {
    let mut per_mean = [0.0; LANES];
    for x in x {
        let x = alike(*x);
        for lane in 0..LANES {
            per_mean[lane] += square(x[lane]);
        }
    }
    for per_mean in &mut per_mean {
        *per_mean = LEN as f32 / per_mean.max(1e-30);
    }
    let mut costs = [[0.0; LANES]; LEN];
    for (costs, x) in costs.iter_mut().zip(x) {
        let x = alike(*x);
        for lane in 0..LANES {
            costs[lane] = (1.0 + square(x[lane]) * per_mean[lane]).sqrt();
        }
    }
    if let Some(importance) = importance {
        for (costs, importance) in costs.iter_mut().zip(across::<LEN>(importance, |x| x)) {
            for lane in 0..LANES {
                costs[lane] *= importance[lane];
            }
        }
    }
    costs
}

/// The weights of the largest magnitude, the positive one of two.
#[inline(always)]
pub(super) fn extremes(x: &[Lanes]) -> Lanes {
    // Without their signs, floats are ordered as integers are; with them, the positive ones still are.
    let (mut largest, mut highest) = ([0; LANES], [0; LANES]);
    for x in x {
        let x = alike(*x);
        for lane in 0..LANES {
            largest[lane] = (x[lane].abs().to_bits() as i32).max(largest[lane]);
            highest[lane] = (x[lane].to_bits() as i32).max(highest[lane]);
        }
    }
    let mut extremes = [0.0; LANES];
    for lane in 0..LANES {
        let largest_is_positive = highest[lane] == largest[lane];
        let largest = f32::from_bits(largest[lane] as u32);
        extremes[lane] = if largest_is_positive { largest } else { -largest };
    }
    extremes
}

/// As [`best_step`](super::levels::best_step), of each block. `beyond`, of either side, is at most half a gap.
#[inline(always)]
pub(super) fn best_steps<L: Levels>(
    x: &[Lanes],
    importance: &[Lanes],
    extremes: &Lanes,
    beyond: &[[f32; 2]],
) -> Lanes {
    let (mut steps, mut least) = ([0.0; LANES], [f32::INFINITY; LANES]);
    let mut per_extreme = [0.0; LANES];
    for lane in 0..LANES {
        per_extreme[lane] = inverse(extremes[lane]);
    }
    for (k, beyond) in beyond.iter().enumerate() {
        // Two at a time share what they read.
        let ends = [L::LOW - beyond[0] * L::GAP, L::HIGH + beyond[1] * L::GAP];
        let mut inverses = [[0.0; LANES]; 2];
        for (inverses, end) in inverses.iter_mut().zip(ends) {
            for lane in 0..LANES {
                inverses[lane] = end * per_extreme[lane];
            }
        }
        let (mut xl, mut ll) = ([[0.0; LANES]; 2], [[0.0; LANES]; 2]);
        for (x, importance) in x.iter().zip(importance) {
            for end in 0..2 {
                for lane in 0..LANES {
                    let y = x[lane] * inverses[end][lane];
                    let level = if end == 0 { L::nearest_from_low(y) } else { L::nearest_from_high(y) };
                    let weighted = importance[lane] * level;
                    xl[end][lane] += x[lane] * weighted;
                    ll[end][lane] += level * weighted;
                }
            }
        }
        for end in 0..2 {
            // Where all are as good, as with one weight alone, the obvious.
            let prefer = if k == 0 && end == 0 { 1.0 + 1e-6 } else { 1.0 };
            for lane in 0..LANES {
                // The largest weight gets no level of 0; its importance may be nothing.
                let ll = ll[end][lane].max(f32::MIN_POSITIVE);
                let gain = -xl[end][lane] * xl[end][lane] / ll * prefer;
                let better = gain < least[lane];
                steps[lane] = if better { xl[end][lane] / ll } else { steps[lane] };
                least[lane] = if better { gain } else { least[lane] };
            }
        }
    }
    steps
}

/// Squared errors of blocks, weighted, with levels in each one's step.
#[inline(always)]
pub(super) fn errors<L: Levels>(x: &[Lanes], importance: &[Lanes], steps: &Lanes) -> Lanes {
    let mut inverses = [0.0; LANES];
    for lane in 0..LANES {
        inverses[lane] = inverse(steps[lane]);
    }
    let mut errors = [0.0; LANES];
    for (x, importance) in x.iter().zip(importance) {
        for lane in 0..LANES {
            let e = x[lane] - L::nearest(x[lane] * inverses[lane]) * steps[lane];
            errors[lane] += importance[lane] * (e * e);
        }
    }
    errors
}
