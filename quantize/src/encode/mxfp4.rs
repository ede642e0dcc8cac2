//! `MXFP4`: floats of four bits under a power of two. The powers around the one at which the largest weight has room are tried.

use super::lanes::{extreme, inverse, least, sums};
use super::pack::nibbles;
use super::symmetric::Scale;
use super::{Grid, exactly};
use blocks::{FP4_LEVELS, Mxfp4};

/// The powers that are used. Below, inverses are infinite; above, the largest level would be.
const POWERS: std::ops::RangeInclusive<i32> = 1..=252;

impl Grid for Mxfp4 {
    type Scales = Power;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Power {
        fit(weights, importance)
    }

    #[inline(always)]
    fn nearest(power: &Power, _: usize, weight: f32) -> (u8, f32) {
        let y = weight * power.scale.inverse;
        let index = BETWEEN.into_iter().map(|between| u8::from(y.abs() > between)).sum::<u8>();
        let sign = u8::from(y < 0.0 && index > 0) << 3;
        (index | sign, power.scale.d * nearest(y))
    }

    #[inline(always)]
    fn pack(power: &Power, codes: &[u8]) -> Self {
        Mxfp4 { e: power.e, q: nibbles(codes) }
    }
}

/// A block's scale, and the byte that stands for it.
#[derive(Clone, Copy, Debug)]
pub struct Power {
    e: u8,
    scale: Scale,
}

/// What lies between each level and the next, without signs.
const BETWEEN: [f32; 7] = {
    let mut between = [0.0; 7];
    let mut i = 0;
    while i < 7 {
        between[i] = 0.5 * (FP4_LEVELS[i] as f32 + FP4_LEVELS[i + 1] as f32);
        i += 1;
    }
    between
};

#[inline(always)]
fn nearest(y: f32) -> f32 {
    let mut level = 0.0;
    for (i, between) in BETWEEN.into_iter().enumerate() {
        let gap = (FP4_LEVELS[i + 1] as i32 - FP4_LEVELS[i] as i32) as f32;
        level += if y.abs() > between { gap } else { 0.0 };
    }
    // No level is −0.
    if y < 0.0 { 0.0 - level } else { level }
}

#[inline(always)]
fn fit(weights: &[f32], importance: &[f32]) -> Power {
    let x = exactly::<32, f32>(weights);
    // Between 2^n and 2^(n+1), the largest weight is between 4 and 8 units of 2^(n−2), twice the unit of the levels.
    let exponent = (extreme(x).abs().to_bits() >> 23) as i32 - 127;
    let powers: [u8; 4] = std::array::from_fn(|lane| {
        (exponent - 2 + 127 + [0, 1, -1, -2][lane]).clamp(*POWERS.start(), *POWERS.end()) as u8
    });
    let steps = powers.map(|e| Mxfp4 { e, q: [0; 16] }.d());
    let inverses = steps.map(inverse);
    // Relative to the largest: squares of these powers are beyond a float.
    let unit = inverses[1];
    let units = steps.map(|step| step * unit);
    let [errors] = sums::<4, 1>(x, exactly::<32, f32>(importance), |x, importance, lane| {
        let e = x * unit - nearest(x * inverses[lane]) * units[lane];
        [importance * (e * e)]
    });
    let lane = least(&errors);
    Power { e: powers[lane], scale: Scale { d: steps[lane], inverse: inverses[lane] } }
}
