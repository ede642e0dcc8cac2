//! Four rows at a time, a row a lane; four columns of each are a step. Products are summed in 16 bits as long as they
//! fit (4 · 32 · 127 = 16 256 for a group of six bits), widened, and multiplied by the group's scale.

use super::scalar;
use crate::activations::{Per256, Run256};
use crate::isa::neon::{Neon, broadcast_4, load_floats, load_shorts, signed, store_floats, transpose};
use crate::unpack::{Group, Panel, Results};
use blocks::Block;
use core::arch::aarch64::*;

/// A block of 256 weights `d · scale · q − dmin · min` of four rows.
#[derive(Clone, Copy)]
pub(crate) struct Unpacked {
    /// Columns `4j … 4j + 3` of each row in its lane, signed.
    pub(crate) q: [int8x16_t; 64],
    /// Scale of each group of sixteen columns, a row a lane.
    pub(crate) scales: [int32x4_t; 16],
    pub(crate) d: float32x4_t,
    /// `None` for a type that has none.
    pub(crate) minimums: Option<Minimums>,
}

/// Minimums of four rows, laid out as the scales are.
#[derive(Clone, Copy)]
pub(crate) struct Minimums {
    pub(crate) min: [int32x4_t; 16],
    pub(crate) dmin: float32x4_t,
}

/// What a block is unpacked into.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn nothing() -> Unpacked {
    let (zero, nothing) = (vdupq_n_s32(0), vdupq_n_f32(0.0));
    Unpacked { q: [vdupq_n_s8(0); 64], scales: [zero; 16], d: nothing, minimums: None }
}

/// Tokens of a step.
pub(super) const STEP_TOKENS: usize = 4;

/// A level of Arm: what it makes of the blocks that NEON unpacks.
pub(crate) trait Level: Copy {
    /// For types whose products fit 16 bits `STEPS` (2, 4 or 8) at a time, and of which that many have one scale.
    fn multiply<const STEPS: usize, B: Block>(
        self,
        panel: Panel<'_, B>,
        x: Per256<'_>,
        results: &mut Results,
        unpack: impl Fn([&B; 4], &mut Unpacked),
    );
}

impl Level for Neon {
    #[inline]
    fn multiply<const STEPS: usize, B: Block>(
        self,
        panel: Panel<'_, B>,
        x: Per256<'_>,
        results: &mut Results,
        unpack: impl Fn([&B; 4], &mut Unpacked),
    ) {
        // SAFETY: the token proves that the feature was detected.
        unsafe { multiply::<STEPS, B>(panel, x, results, unpack) }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn multiply<const STEPS: usize, B: Block>(
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 4], &mut Unpacked),
) {
    in_groups::<1, B>(panel, x, results, unpack, |[w], x, group, results| match results.len() {
        1 => add_block::<STEPS, 1>(w, x, group, results),
        2 => add_block::<STEPS, 2>(w, x, group, results),
        3 => add_block::<STEPS, 3>(w, x, group, results),
        _ => add_block::<STEPS, STEP_TOKENS>(w, x, group, results),
    });
}

/// Unpacks a block of each row, `G` groups of four at a time, and has `step` add its products with [`STEP_TOKENS`] tokens to
/// the results of the groups from the one that it is told on. So much is done in a step that levels with more features
/// can share what is around it.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn in_groups<const G: usize, B: Block>(
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 4], &mut Unpacked),
    step: impl Fn(&[Unpacked; G], &[Run256], usize, &mut Results),
) {
    let mut w = [nothing(); G];
    let groups = (0..panel.n_rows().div_ceil(4)).step_by(G);
    let rows = |group| -> [_; G] { std::array::from_fn(|g| panel.group::<4>(4 * (group + g))) };
    let take = |w: &mut [Unpacked; G], rows: &[Group<'_, B, 4>; G], b| {
        for (rows, w) in rows.iter().zip(w) {
            unpack(rows.blocks(b), w);
        }
    };
    if results.len() <= STEP_TOKENS {
        // A step's tokens wait for the weights: in the order of the file.
        for group in groups {
            let (rows, mut ahead) = (rows(group), panel.ahead::<4>(4 * (group + G), 4 * G));
            for b in 0..x.n_runs() {
                ahead.used(4 * G * size_of::<B>());
                take(&mut w, &rows, b);
                step(&w, x.at(b), group, results);
            }
        }
    } else {
        // What tokens bring into the first cache is used for all rows of the panel.
        let n_steps = results.len().div_ceil(STEP_TOKENS);
        for b in 0..x.n_runs() {
            for group in groups.clone() {
                take(&mut w, &rows(group), b);
                let steps = x.at(b).chunks(STEP_TOKENS).zip(results.chunks_mut(STEP_TOKENS));
                for (i, (x, results)) in steps.enumerate() {
                    panel.fetch(b + 1..b + 2, group / G * n_steps + i, groups.len() * n_steps);
                    step(&w, x, group, results);
                }
            }
        }
    }
}

/// Adds a block's products with `T` tokens to a group's results.
#[inline]
#[target_feature(enable = "neon")]
fn add_block<const STEPS: usize, const T: usize>(
    w: &Unpacked,
    x: &[Run256],
    group: usize,
    results: &mut Results,
) {
    let x: &[Run256; T] = x.first_chunk().expect("a step's tokens");
    let a: [&[[i8; 4]; 64]; T] = x.each_ref().map(|x| bytemuck::cast_ref(&x.q));
    let mut sums = [vdupq_n_s32(0); T];
    for (at, q) in w.q.as_chunks::<STEPS>().0.iter().enumerate() {
        let mut low = [vdupq_n_s16(0); T];
        let mut high = low;
        for (j, q) in q.iter().enumerate() {
            for t in 0..T {
                let a = broadcast_4(&a[t][STEPS * at + j]);
                low[t] = vmlal_s8(low[t], vget_low_s8(*q), vget_low_s8(a));
                high[t] = vmlal_high_s8(high[t], *q, a);
            }
        }
        let scale = w.scales[STEPS * at / 4];
        for t in 0..T {
            let products = vpaddq_s32(vpaddlq_s16(low[t]), vpaddlq_s16(high[t]));
            sums[t] = vmlaq_s32(sums[t], products, scale);
        }
    }
    for (t, results) in results.iter_mut().enumerate().take(T) {
        finish::<STEPS>(w, sums[t], &x[t], &mut results.as_chunks_mut().0[group]);
    }
}

/// Adds a block's part to the results of four rows with a token: what its scales and weights add up to is `sum`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn finish<const STEPS: usize>(w: &Unpacked, sum: int32x4_t, x: &Run256, results: &mut [f32; 4]) {
    let sum = vcvtq_f32_s32(sum);
    let product = match &w.minimums {
        Some(Minimums { min, dmin }) => {
            let minimums = vcvtq_f32_s32(minimums::<STEPS>(min, &x.sums));
            vfmaq_f32(vnegq_f32(vmulq_f32(minimums, *dmin)), sum, w.d)
        }
        None => vmulq_f32(sum, w.d),
    };
    store_floats(results, vfmaq_f32(load_floats(results), product, vdupq_n_f32(x.d)));
}

/// `Σ_s min_s · Σa`; where eight steps have one scale, they have one minimum too.
#[inline]
#[target_feature(enable = "neon")]
fn minimums<const STEPS: usize>(min: &[int32x4_t; 16], sums: &[i16; 16]) -> int32x4_t {
    let mut total = vdupq_n_s32(0);
    for (min, sums) in min.as_chunks::<8>().0.iter().zip(sums.as_chunks::<8>().0) {
        let sums = load_shorts(sums);
        let [a, b, c, d, e, f, g, h] = *min;
        if STEPS == 8 {
            total = add_four(total, [a, c, e, g], vpaddlq_s16(sums));
        } else {
            total = add_four(total, [a, b, c, d], vmovl_s16(vget_low_s16(sums)));
            total = add_four(total, [e, f, g, h], vmovl_high_s16(sums));
        }
    }
    total
}

/// Four minimums of each row, each with a sum of the token's.
#[inline]
#[target_feature(enable = "neon")]
fn add_four(total: int32x4_t, min: [int32x4_t; 4], sums: int32x4_t) -> int32x4_t {
    let total = vmlaq_laneq_s32::<1>(vmlaq_laneq_s32::<0>(total, min[0], sums), min[1], sums);
    vmlaq_laneq_s32::<3>(vmlaq_laneq_s32::<2>(total, min[2], sums), min[3], sums)
}

/// Four rows that plain code has unpacked: for types whose bits it takes apart fast enough when it is compiled with
/// this level's features.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn turn(rows: &[scalar::Unpacked; 4], out: &mut Unpacked) {
    let rows = rows.each_ref();
    let q = rows.map(|row| bytemuck::cast_ref::<[i8; 256], [[u8; 16]; 16]>(&row.q));
    for (at, out) in out.q.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *out = signed(transpose(q.map(|q| &q[at])), 0);
    }
    out.scales = each(rows.map(|row| &row.scales));
    out.d = load_floats(&rows.map(|row| row.d));
    let none = ([0; 16], 0.0);
    let minimums = rows.map(|row| row.minimums.as_ref().unwrap_or(&none));
    out.minimums = rows[0].minimums.is_some().then(|| Minimums {
        min: each(minimums.map(|(min, _)| min)),
        dmin: load_floats(&minimums.map(|&(_, dmin)| dmin)),
    });
}

/// Scales or minimums of each row as [`Unpacked`] has them.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn each(rows: [&[i8; 16]; 4]) -> [int32x4_t; 16] {
    let mut out = [vdupq_n_s32(0); 16];
    // Four numbers of a row in its lane: each in turn is moved to the top and down again with its sign.
    let fours = transpose(rows.map(bytemuck::cast_ref));
    for (four, out) in fours.into_iter().zip(out.as_chunks_mut::<4>().0) {
        let four = vreinterpretq_s32_u8(four);
        *out = [
            vshrq_n_s32::<24>(vshlq_n_s32::<24>(four)),
            vshrq_n_s32::<24>(vshlq_n_s32::<16>(four)),
            vshrq_n_s32::<24>(vshlq_n_s32::<8>(four)),
            vshrq_n_s32::<24>(four),
        ];
    }
    out
}
