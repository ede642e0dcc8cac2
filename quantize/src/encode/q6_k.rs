//! `Q6_K`: sixteen groups of 16 integers −32…31, each with an integer scale −128…127 of one f16.
//!
//! A group's scale is an integer, so it need not be fitted and then rounded: every scale tried is one that the file can
//! hold, and its error is the error. The f16 `d` is one at which the largest group has room for a scale near 127.

use super::lanes::{MAX_SCALE, MIN_SCALE, max_abs, round, round_to_i8, sums, to_scale};
use super::{Encode, each_block};
use blocks::Q6K;
use bytemuck::Zeroable;

/// The integers of the weights.
const LOW: f32 = -32.0;
const HIGH: f32 = 31.0;

impl Encode for Q6K {
    fn encode(weights: &[f32], out: &mut [Self]) {
        each_block(weights, out, block);
    }
}

fn block(weights: &[f32; 256]) -> Q6K {
    const LIMIT: f32 = MAX_SCALE * 127.0 * HIGH;
    let x = &weights.map(|w| w.clamp(-LIMIT, LIMIT));
    let max = max_abs(x);
    if max < 0.5 * MIN_SCALE {
        return Q6K::zeroed();
    }
    let (groups, _) = x.as_chunks::<16>();
    let d = to_scale(max / (-LOW * 127.0));
    let mut q = [0i8; 256];
    let mut out = Q6K { d, ..Q6K::zeroed() };
    let d = d.to_f32();
    for (g, group) in groups.iter().enumerate() {
        let scale = best_scale(group, d);
        out.scales[g] = scale as i8;
        if scale != 0.0 {
            let inverse = 1.0 / (d * scale);
            for (q, x) in q[16 * g..16 * g + 16].iter_mut().zip(group) {
                *q = round_to_i8((x * inverse).clamp(LOW, HIGH));
            }
        }
    }
    pack(&q, &mut out);
    out
}

/// The group's scale of the least error, an integer −128…127.
#[inline(always)]
fn best_scale(x: &[f32; 16], d: f32) -> f32 {
    let max = max_abs(x);
    let max = if x.contains(&max) { max } else { -max };
    let mut best = (0.0, sums(x, |x| [x * x])[0]);
    for edge in [LOW, HIGH] {
        let near = round((max / (edge * d)).clamp(-128.0, 127.0));
        for off in -4..=4 {
            let scale = (near + off as f32).clamp(-128.0, 127.0);
            if scale == 0.0 {
                continue;
            }
            let (step, inverse) = (d * scale, 1.0 / (d * scale));
            let [error] = sums(x, |x| {
                let e = x - round((x * inverse).clamp(LOW, HIGH)) * step;
                [e * e]
            });
            if error < best.1 {
                best = (scale, error);
            }
        }
    }
    best.0
}

/// Puts the integers where `runtime/blocks` says that they lie.
#[inline(always)]
fn pack(q: &[i8; 256], out: &mut Q6K) {
    for half in 0..2 {
        let q = |k: usize, i: usize| (q[128 * half + 32 * k + i] + 32) as u8;
        for i in 0..32 {
            out.low[64 * half + i] = q(0, i) & 15 | q(2, i) << 4;
            out.low[64 * half + 32 + i] = q(1, i) & 15 | q(3, i) << 4;
            out.high[32 * half + i] =
                q(0, i) >> 4 | q(1, i) >> 4 << 2 | q(2, i) >> 4 << 4 | q(3, i) >> 4 << 6;
        }
    }
}
