//! `Q8_0`: the scale is one at which the largest weight falls on an integer, 127 or a little less.
//!
//! At eight bits a smaller scale buys next to nothing; but which of a few nearly equal scales is taken decides how the
//! other 31 weights happen to round, and the best of eight has a tenth less error than the first.
//! The largest weight lands on an integer in each of them, so that a block which was a `Q8_0` before comes out as it
//! was (if its scale is a normal half, with all its bits).

use super::lanes::{MAX_SCALE, MIN_SCALE, clamped, errors, extreme, least, round, round_to_i8, to_scales};
use super::levels::Levels;
use super::symmetric::Scale;
use super::{Grid, exactly};
use blocks::{F16, Q8_0};

/// −128 is left out: without it a product of two codes and its negative have the same range.
const TOP: f32 = 127.0;

/// What the largest weight becomes.
const LARGEST: [f32; 8] = [TOP, 126.0, 125.0, 124.0, 123.0, 122.0, 121.0, 120.0];

/// The integers −127…127, each its own code.
struct Bytes;

impl Levels for Bytes {
    const LOW: f32 = -TOP;
    const HIGH: f32 = TOP;
    const GAP: f32 = 1.0;

    #[inline(always)]
    fn nearest(y: f32) -> f32 {
        round(y.clamp(-TOP, TOP))
    }

    #[inline(always)]
    fn code(y: f32) -> u8 {
        round_to_i8(y.clamp(-TOP, TOP)) as u8
    }
}

impl Grid for Q8_0 {
    type Scales = Scale;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Scale {
        fit(weights, importance)
    }

    #[inline(always)]
    fn nearest(scale: &Scale, _: usize, weight: f32) -> (u8, f32) {
        let y = weight * scale.inverse;
        (Bytes::code(y), scale.d * Bytes::nearest(y))
    }

    #[inline(always)]
    fn pack(scale: &Scale, codes: &[u8]) -> Self {
        Q8_0 { d: F16::from_f32(scale.d), q: exactly::<32, u8>(codes).map(|code| code as i8) }
    }
}

#[inline(always)]
fn fit(weights: &[f32], importance: &[f32]) -> Scale {
    const LIMIT: f32 = MAX_SCALE * TOP;
    let x = &clamped::<32>(weights, -LIMIT, LIMIT);
    let max = extreme(x).abs();
    if max < 0.5 * MIN_SCALE {
        return Scale::of(0.0);
    }
    let scales = to_scales(LARGEST.map(|q| max / q));
    Scale::of(scales[least(&errors::<8, Bytes>(x, exactly::<32, f32>(importance), &scales))])
}
