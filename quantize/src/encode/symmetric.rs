//! One scale, of either sign: `Q4_0` and `Q5_0` with integers −N…N−1, `IQ4_NL` with levels that lie closer around zero.

use super::lanes::{MAX_SCALE, MIN_SCALE, clamped, errors, extreme, inverse, least, to_scales};
use super::levels::{Integers, Iq4, Levels, best_step};
use super::pack::{fifth_bits, nibbles};
use super::{Grid, exactly};
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
        let [scale] = fit::<Integers<8>, 1>([weights], [importance]);
        scale
    }

    #[inline(always)]
    fn fit_two(weights: [&[f32]; 2], importance: [&[f32]; 2]) -> [Scale; 2] {
        fit::<Integers<8>, 2>(weights, importance)
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
        let [scale] = fit::<Integers<16>, 1>([weights], [importance]);
        scale
    }

    #[inline(always)]
    fn fit_two(weights: [&[f32]; 2], importance: [&[f32]; 2]) -> [Scale; 2] {
        fit::<Integers<16>, 2>(weights, importance)
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
        let [scale] = fit::<Iq4, 1>([weights], [importance]);
        scale
    }

    #[inline(always)]
    fn fit_two(weights: [&[f32]; 2], importance: [&[f32]; 2]) -> [Scale; 2] {
        fit::<Iq4, 2>(weights, importance)
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
const BEYOND: [f32; 8] = [0.0, -0.3, -0.2, 0.2, 0.4, 0.5, 0.8, 0.8];

/// Of the best scale.
const NEAR: [f32; 8] = [0.0, 1.0, 0.985, 1.015, 0.97, 1.03, 0.955, 1.045];

/// Blocks' scales, step by step for all of them.
#[inline(always)]
fn fit<L: Levels, const M: usize>(weights: [&[f32]; M], importance: [&[f32]; M]) -> [Scale; M] {
    let limit = MAX_SCALE * -L::LOW;
    let mut x = [[0.0; 32]; M];
    let (mut max, mut steps, mut chosen) = ([0.0; M], [0.0; M], [Scale::of(0.0); M]);
    for m in 0..M {
        x[m] = clamped::<32>(weights[m], -limit, limit);
        max[m] = extreme(&x[m]);
    }
    for m in 0..M {
        steps[m] = best_step::<8, L>(&x[m], exactly::<32, f32>(importance[m]), max[m], &BEYOND);
    }
    for m in 0..M {
        // Of those near it the best, by the error itself. The obvious stands by.
        let mut scales = NEAR.map(|near| steps[m] * near);
        scales[0] = max[m] / L::LOW;
        let scales = to_scales(scales);
        let best = scales[least(&errors::<8, L>(&x[m], exactly::<32, f32>(importance[m]), &scales))];
        if max[m].abs() >= 0.5 * MIN_SCALE {
            chosen[m] = Scale::of(best);
        }
    }
    chosen
}
