//! One scale, of either sign: `Q4_0` and `Q5_0` with integers −N…N−1, `IQ4_NL` with levels that lie closer around zero.

use super::Grid;
use super::abreast::{LANES, Lanes, across, best_steps, errors, extremes, prices};
use super::lanes::{MAX_SCALE, MIN_SCALE, inverse, to_scale};
use super::levels::{Integers, Iq4, Levels};
use super::pack::{fifth_bits, nibbles};
use blocks::{F16, Iq4Nl, Q4_0, Q5_0};

/// A block's one scale, and its inverse.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub(super) d: f32,
    pub(super) inverse: f32,
}

impl Scale {
    #[inline(always)]
    pub(super) fn of(d: f32) -> Self {
        Self { d, inverse: inverse(d) }
    }
}

impl Grid for Q4_0 {
    type Scales = Scale;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Scale {
        fit_one::<Integers<8>>(weights, importance)
    }

    #[inline(always)]
    fn fit_eight(weights: &[&[f32]; LANES], importance: Option<&[&[f32]; LANES]>) -> [Scale; LANES] {
        fit_eight::<Integers<8>>(weights, importance)
    }

    #[inline(always)]
    fn nearest(scale: &Scale, _: usize, weight: f32) -> (u8, f32) {
        nearest::<Integers<8>>(scale, weight)
    }

    #[inline(always)]
    fn pack(scale: &Scale, codes: &[u8]) -> Self {
        Q4_0 { d: F16::from_f32(scale.d), q: nibbles(codes) }
    }
}

impl Grid for Q5_0 {
    type Scales = Scale;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Scale {
        fit_one::<Integers<16>>(weights, importance)
    }

    #[inline(always)]
    fn fit_eight(weights: &[&[f32]; LANES], importance: Option<&[&[f32]; LANES]>) -> [Scale; LANES] {
        fit_eight::<Integers<16>>(weights, importance)
    }

    #[inline(always)]
    fn nearest(scale: &Scale, _: usize, weight: f32) -> (u8, f32) {
        nearest::<Integers<16>>(scale, weight)
    }

    #[inline(always)]
    fn pack(scale: &Scale, codes: &[u8]) -> Self {
        Q5_0 { d: F16::from_f32(scale.d), high: fifth_bits(codes), q: nibbles(codes) }
    }
}

impl Grid for Iq4Nl {
    type Scales = Scale;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Scale {
        fit_one::<Iq4>(weights, importance)
    }

    #[inline(always)]
    fn fit_eight(weights: &[&[f32]; LANES], importance: Option<&[&[f32]; LANES]>) -> [Scale; LANES] {
        fit_eight::<Iq4>(weights, importance)
    }

    #[inline(always)]
    fn nearest(scale: &Scale, _: usize, weight: f32) -> (u8, f32) {
        nearest::<Iq4>(scale, weight)
    }

    #[inline(always)]
    fn pack(scale: &Scale, codes: &[u8]) -> Self {
        Iq4Nl { d: F16::from_f32(scale.d), q: nibbles(codes) }
    }
}

#[inline(always)]
fn nearest<L: Levels>(&Scale { d, inverse }: &Scale, weight: f32) -> (u8, f32) {
    let y = weight * inverse;
    (L::code(y), d * L::nearest(y))
}

/// Where the largest weight falls.
trait Search: Levels {
    /// Beyond the lowest level and the highest, in gaps. Of all places, in steps of a tenth, these six leave the least error in
    /// normally distributed weights and in those of Student's distribution with five degrees of freedom. (All together would
    /// leave 0.3 % less, and 1 % of `IQ4_NL`.)
    const BEYOND: [[f32; 2]; 3];
}

impl Search for Integers<8> {
    const BEYOND: [[f32; 2]; 3] = [[0.0, -0.1], [0.4, 0.2], [-0.3, -0.8]];
}

impl Search for Integers<16> {
    const BEYOND: [[f32; 2]; 3] = [[0.0, -0.1], [0.3, 0.2], [-0.2, -0.9]];
}

impl Search for Iq4 {
    const BEYOND: [[f32; 2]; 3] = [[0.0, 0.0], [0.3, 0.3], [-0.8, -0.2]];
}

/// Blocks' weights, within the format's range.
#[inline(always)]
fn weights_across<L: Levels>(weights: &[&[f32]; LANES]) -> [Lanes; 32] {
    let limit = MAX_SCALE * -L::LOW;
    across(weights, |x| x.clamp(-limit, limit))
}

#[inline(always)]
fn fit_eight<L: Search>(weights: &[&[f32]; LANES], importance: Option<&[&[f32]; LANES]>) -> [Scale; LANES] {
    let x = weights_across::<L>(weights);
    fit::<L>(&x, &prices(&x, importance))
}

/// A block's scale, in all lanes.
#[inline(always)]
fn fit_one<L: Search>(weights: &[f32], costs: &[f32]) -> Scale {
    fit::<L>(&weights_across::<L>(&[weights; LANES]), &across(&[costs; LANES], |cost| cost))[0]
}

/// Blocks' scales.
#[inline(always)]
fn fit<L: Search>(x: &[Lanes; 32], costs: &[Lanes; 32]) -> [Scale; LANES] {
    let extremes = extremes(x);
    let steps = best_steps::<L>(x, costs, &extremes, &L::BEYOND);
    // By the error itself, now that both are halves. The obvious stands by.
    let (mut obvious, mut best) = ([0.0; LANES], [0.0; LANES]);
    for lane in 0..LANES {
        obvious[lane] = to_scale(extremes[lane] / L::LOW);
        best[lane] = to_scale(steps[lane]);
    }
    let of_obvious = errors::<L>(x, costs, &obvious);
    let of_best = errors::<L>(x, costs, &best);
    let mut chosen = [Scale::of(0.0); LANES];
    for lane in 0..LANES {
        if extremes[lane].abs() >= 0.5 * MIN_SCALE {
            chosen[lane] =
                Scale::of(if of_best[lane] < of_obvious[lane] { best[lane] } else { obvious[lane] });
        }
    }
    chosen
}
