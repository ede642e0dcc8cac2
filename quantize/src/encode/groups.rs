//! Groups with integer scales of one f16: `Q6_K` and `Q3_K` with integers −N…N−1, `IQ4_XS` with levels that lie closer around
//! zero.
//!
//! First each group's step is fitted as if it were free. The f16 `d` is then one of a few at which the largest step is
//! near the largest scale, whichever rounds the others best. The scales are integers, so that their neighbours are few: those
//! of either sign are tried, by the error itself. With levels and scales chosen, the best `d` has a closed form; with that
//! the neighbours are tried again, as long as it pays.

use super::lanes::{
    MAX_SCALE, MIN_SCALE, alike, clamped, errors, extreme, inverse, least, round, sums, to_scales,
};
use super::levels::{Integers, Iq4, Levels, best_step};
use super::pack::{nibbles, two_bits};
use super::{Grid, exactly};
use blocks::{F16, Iq4Xs, Q3K, Q6K};
use bytemuck::Zeroable;

/// A block's scale and its groups'.
#[derive(Clone, Copy, Debug)]
pub struct Groups<const N: usize> {
    d: f32,
    scales: [i8; N],
    steps: [f32; N],
    inverses: [f32; N],
}

impl<const N: usize> Groups<N> {
    #[inline(always)]
    fn of(d: f32, scales: [f32; N]) -> Self {
        let steps = scales.map(|scale| d * scale);
        Self { d, scales: scales.map(|scale| scale as i8), steps, inverses: steps.map(inverse) }
    }

    #[inline(always)]
    fn nearest<L: Levels>(&self, group: usize, weight: f32) -> (u8, f32) {
        let y = weight * self.inverses[group];
        (L::code(y), self.steps[group] * L::nearest(y))
    }
}

impl Grid for Q3K {
    type Scales = Groups<16>;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Groups<16> {
        fit::<Integers<4>, 16, 16, 32>(weights, importance)
    }

    #[inline(always)]
    fn nearest(groups: &Groups<16>, at: usize, weight: f32) -> (u8, f32) {
        groups.nearest::<Integers<4>>(at / 16, weight)
    }

    #[inline(always)]
    fn pack(groups: &Groups<16>, codes: &[u8]) -> Self {
        let mut high = [0; 32];
        for (run, codes) in codes.as_chunks::<32>().0.iter().enumerate() {
            for (high, code) in high.iter_mut().zip(codes) {
                *high |= (code >> 2) << run;
            }
        }
        let scales = groups.scales.map(|scale| (scale + 32) as u8);
        let mut packed = [0; 12];
        for (g, scale) in scales.into_iter().enumerate() {
            packed[g % 8] |= (scale & 15) << (4 * (g / 8));
            packed[8 + g % 4] |= (scale >> 4) << (2 * (g / 4));
        }
        Q3K { high, low: two_bits(codes), scales: packed, d: F16::from_f32(groups.d) }
    }
}

impl Grid for Q6K {
    type Scales = Groups<16>;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Groups<16> {
        fit::<Integers<32>, 16, 16, 128>(weights, importance)
    }

    #[inline(always)]
    fn nearest(groups: &Groups<16>, at: usize, weight: f32) -> (u8, f32) {
        groups.nearest::<Integers<32>>(at / 16, weight)
    }

    #[inline(always)]
    fn pack(groups: &Groups<16>, codes: &[u8]) -> Self {
        let mut out = Q6K { d: F16::from_f32(groups.d), scales: groups.scales, ..Q6K::zeroed() };
        for (half, codes) in exactly::<256, u8>(codes).as_chunks::<128>().0.iter().enumerate() {
            let q = |k: usize, i: usize| codes[32 * k + i];
            for i in 0..32 {
                out.low[64 * half + i] = q(0, i) & 15 | q(2, i) << 4;
                out.low[64 * half + 32 + i] = q(1, i) & 15 | q(3, i) << 4;
                out.high[32 * half + i] =
                    q(0, i) >> 4 | q(1, i) >> 4 << 2 | q(2, i) >> 4 << 4 | q(3, i) >> 4 << 6;
            }
        }
        out
    }
}

impl Grid for Iq4Xs {
    type Scales = Groups<8>;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Groups<8> {
        fit::<Iq4, 32, 8, 32>(weights, importance)
    }

    #[inline(always)]
    fn nearest(groups: &Groups<8>, at: usize, weight: f32) -> (u8, f32) {
        groups.nearest::<Iq4>(at / 32, weight)
    }

    #[inline(always)]
    fn pack(groups: &Groups<8>, codes: &[u8]) -> Self {
        let mut out = Iq4Xs { d: F16::from_f32(groups.d), ..Iq4Xs::zeroed() };
        let mut high = 0;
        for (g, scale) in groups.scales.into_iter().enumerate() {
            let scale = (scale + 32) as u8;
            out.scales_low[g / 2] |= (scale & 15) << (4 * (g % 2));
            high |= u16::from(scale >> 4) << (2 * g);
        }
        out.scales_high = high.to_le_bytes();
        for (out, codes) in out.q.as_chunks_mut().0.iter_mut().zip(codes.chunks_exact(32)) {
            *out = nibbles(codes);
        }
        out
    }
}

/// Where a group's largest weight falls.
const BEYOND: [f32; 16] =
    [0.0, 0.0, -0.6, -0.6, -0.3, -0.3, 0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8, 1.0, 1.0];

/// The scale of the group with the largest step, about, as a part of the largest scale: `d` is chosen to make it so.
const LARGEST: [f32; 8] = [1.0, 0.985, 0.96, 0.935, 0.91, 0.885, 0.86, 0.83];

/// How often `d` is fitted again, at most.
const ROUNDS: usize = 2;

/// Integer scales −TOP…TOP−1 of N groups.
#[inline(always)]
fn fit<L: Levels, const GROUP: usize, const N: usize, const TOP: i32>(
    weights: &[f32],
    importance: &[f32],
) -> Groups<N> {
    let top = TOP as f32;
    let limit = MAX_SCALE * (top - 1.0) * -L::LOW;
    let x = &clamped::<256>(weights, -limit, limit);
    if extreme(x).abs() < 0.5 * MIN_SCALE {
        return Groups::of(0.0, [0.0; N]);
    }
    let x = exactly::<N, [f32; GROUP]>(x.as_chunks().0);
    let importance = exactly::<N, [f32; GROUP]>(exactly::<256, f32>(importance).as_chunks().0);
    let mut steps = [0.0; N];
    for g in 0..N {
        steps[g] = best_step::<16, L>(&x[g], &importance[g], extreme(&x[g]), &BEYOND);
    }
    let largest = extreme(&steps);
    let candidates = to_scales(LARGEST.map(|part| largest / (-top * part)));
    let scale = |step: f32, d: f32| round((step / d).clamp(-top, top - 1.0));
    let mut sum = [0.0; 8];
    for g in 0..N {
        let errors = errors::<8, L>(&x[g], &importance[g], &candidates.map(|d| scale(steps[g], d) * d));
        sum = std::array::from_fn(|lane| sum[lane] + errors[lane]);
    }
    let d = candidates[least(&sum)];
    let mut best = neighbours::<L, GROUP, N, TOP>(x, importance, d, steps.map(|step| scale(step, d)));
    for _ in 0..ROUNDS {
        let [d] = to_scales([best.xl / best.ll.max(f32::MIN_POSITIVE)]);
        let next = neighbours::<L, GROUP, N, TOP>(x, importance, d, best.scales);
        if next.error >= best.error {
            break;
        }
        best = next;
    }
    Groups::of(best.d, best.scales)
}

struct Candidate<const N: usize> {
    d: f32,
    scales: [f32; N],
    error: f32,
    /// Σ x · scale · level, and the same of squares: their quotient is the best `d`.
    xl: f32,
    ll: f32,
}

/// The best scales around `scales`.
#[inline(always)]
fn neighbours<L: Levels, const GROUP: usize, const N: usize, const TOP: i32>(
    x: &[[f32; GROUP]; N],
    importance: &[[f32; GROUP]; N],
    d: f32,
    scales: [f32; N],
) -> Candidate<N> {
    let mut best = Candidate { d, scales, error: 0.0, xl: 0.0, ll: 0.0 };
    for g in 0..N {
        let s = scales[g];
        let near = alike(
            [s, s - 1.0, s + 1.0, s - 2.0, s + 2.0, -s, 1.0 - s, -1.0 - s]
                .map(|s| s.clamp(-TOP as f32, (TOP - 1) as f32)),
        );
        let steps = near.map(|s| s * d);
        let inverses = steps.map(inverse);
        let [errors, xl, ll] = sums::<8, 3>(&x[g], &importance[g], |x, importance, lane| {
            let level = L::nearest(x * inverses[lane]);
            let weighted = importance * level;
            let e = x - level * steps[lane];
            [importance * (e * e), x * weighted, level * weighted]
        });
        let lane = least(&errors);
        let s = near[lane];
        best.scales[g] = s;
        best.error += errors[lane];
        best.xl += xl[lane] * s;
        best.ll += ll[lane] * (s * s);
    }
    best
}
