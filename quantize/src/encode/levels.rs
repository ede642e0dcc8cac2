//! The values that a weight may take, in units of its step; and the step that fits weights best.
//!
//! The error as a function of the step has many small minima, one for each set of levels that the weights take. A candidate
//! step is used to get such a set only; the best step *for it* has a closed form, Σxl / Σl², and leaves the error
//! Σx² − (Σxl)² / Σl². So candidates are compared by (Σxl)² / Σl². (All sums are weighted by importance.)

use super::lanes::{alike, inverse, least, round, round_to_i8, sums};
use blocks::IQ4_LEVELS;

/// A set of levels.
pub(super) trait Levels {
    /// The lowest.
    const LOW: f32;
    /// The highest.
    const HIGH: f32;
    /// From either to the one beside it.
    const GAP: f32;

    /// The level that is nearest.
    fn nearest(y: f32) -> f32;

    /// The same of a number that is no further from 0 than the lowest level and half a gap.
    #[inline(always)]
    fn nearest_from_low(y: f32) -> f32 {
        Self::nearest(y)
    }

    /// The same of a number that is no further from 0 than the highest level and half a gap.
    #[inline(always)]
    fn nearest_from_high(y: f32) -> f32 {
        Self::nearest(y)
    }

    /// The code of the nearest level.
    fn code(y: f32) -> u8;
}

/// The integers −N…N−1, whose code is what they are above the lowest.
pub(super) struct Integers<const N: i32>;

impl<const N: i32> Levels for Integers<N> {
    const LOW: f32 = -N as f32;
    const HIGH: f32 = (N - 1) as f32;
    const GAP: f32 = 1.0;

    #[inline(always)]
    fn nearest(y: f32) -> f32 {
        round(y.clamp(Self::LOW, Self::HIGH))
    }

    #[inline(always)]
    fn nearest_from_low(y: f32) -> f32 {
        round(y.min(Self::HIGH))
    }

    #[inline(always)]
    fn nearest_from_high(y: f32) -> f32 {
        round(y)
    }

    #[inline(always)]
    fn code(y: f32) -> u8 {
        (round_to_i8(y.clamp(Self::LOW, Self::HIGH)) + N as i8) as u8
    }
}

/// The levels of `IQ4_NL` and `IQ4_XS`, whose code is their index.
pub(super) struct Iq4;

/// What lies between each level and the next.
const BETWEEN: [f32; 15] = {
    let mut between = [0.0; 15];
    let mut i = 0;
    while i < 15 {
        between[i] = 0.5 * (IQ4_LEVELS[i] as f32 + IQ4_LEVELS[i + 1] as f32);
        i += 1;
    }
    between
};

impl Levels for Iq4 {
    const LOW: f32 = IQ4_LEVELS[0] as f32;
    const HIGH: f32 = IQ4_LEVELS[15] as f32;
    const GAP: f32 = 23.0;

    // Comparisons and sums, which the compiler makes vectors of: it has no vector to look a table up.
    #[inline(always)]
    fn nearest(y: f32) -> f32 {
        let mut level = Self::LOW;
        for (i, between) in BETWEEN.into_iter().enumerate() {
            let gap = (IQ4_LEVELS[i + 1] as i32 - IQ4_LEVELS[i] as i32) as f32;
            level += if y > between { gap } else { 0.0 };
        }
        level
    }

    #[inline(always)]
    fn code(y: f32) -> u8 {
        BETWEEN.into_iter().map(|between| u8::from(y > between)).sum()
    }
}

/// The step that fits weights best, of either sign; 0 if all are 0. `extreme` is the weight of the largest magnitude. What the
/// candidates differ by is how far beyond the last level of either side, in gaps, it falls; the even lanes are of the lowest
/// level, the first of them the obvious one.
#[inline(always)]
pub(super) fn best_step<const K: usize, L: Levels>(
    x: &[f32],
    importance: &[f32],
    extreme: f32,
    beyond: &[f32; K],
) -> f32 {
    let per_max = inverse(extreme);
    let inverses: [f32; K] = std::array::from_fn(|lane| {
        let beyond = beyond[lane] * L::GAP;
        (if lane % 2 == 0 { L::LOW - beyond } else { L::HIGH + beyond }) * per_max
    });
    let [xl, ll] = sums::<K, 2>(x, importance, |x, importance, lane| {
        let level = L::nearest(x * inverses[lane]);
        let weighted = importance * level;
        [x * weighted, level * weighted]
    });
    // The largest weight gets no level of 0; its importance may be nothing.
    let mut gains = [0.0; K];
    for (gain, (xl, ll)) in gains.iter_mut().zip(xl.iter().zip(&ll)) {
        *gain = -xl * xl / ll.max(f32::MIN_POSITIVE);
    }
    gains = alike(gains);
    // Where all are as good, as with one weight alone, the obvious.
    gains[0] *= 1.0 + 1e-6;
    let lane = least(&gains);
    xl[lane] / ll[lane].max(f32::MIN_POSITIVE)
}
