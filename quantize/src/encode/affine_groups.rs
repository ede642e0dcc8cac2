//! Groups with an integer scale and an integer minimum, of two f16: `Q2_K`, `Q4_K` and `Q5_K`, integers 0…T (T = 3, 15, 31).
//!
//! First each group's line is fitted as if it were free. `d` and `dmin` are then one pair of sixteen at which the largest slope
//! and the lowest minimum are near the largest integer, whichever rounds the others best. Around the integers so found
//! the neighbours are tried, by the error itself. With all integers chosen, the best `d` and `dmin` have a closed form, two equations
//! of least squares; with those the neighbours are tried again, as long as it pays.

use super::affine::best_line;
use super::lanes::{
    MAX_SCALE, MIN_SCALE, clamped, ends, extreme, inverse, least, round, round_to_i8, sums, to_scales,
};
use super::pack::{scales_and_mins, two_bits};
use super::{Grid, exactly};
use blocks::{F16, Q2K, Q4K, Q5K};

/// A block's scales and its groups'.
#[derive(Clone, Copy, Debug)]
pub struct Lines<const N: usize> {
    d: f32,
    dmin: f32,
    scales: [u8; N],
    mins: [u8; N],
    steps: [f32; N],
    offsets: [f32; N],
    inverses: [f32; N],
}

impl<const N: usize> Lines<N> {
    #[inline(always)]
    fn of([d, dmin]: [f32; 2], scales: [f32; N], mins: [f32; N]) -> Self {
        let steps = scales.map(|scale| d * scale);
        Self {
            d,
            dmin,
            scales: scales.map(|scale| scale as u8),
            mins: mins.map(|min| min as u8),
            steps,
            offsets: mins.map(|min| dmin * min),
            inverses: steps.map(inverse),
        }
    }

    #[inline(always)]
    fn nearest<const T: i32>(&self, group: usize, weight: f32) -> (u8, f32) {
        let q = ((weight + self.offsets[group]) * self.inverses[group]).clamp(0.0, T as f32);
        (round_to_i8(q) as u8, self.steps[group] * round(q) - self.offsets[group])
    }

    /// The two halves.
    #[inline(always)]
    fn halves(&self) -> [F16; 2] {
        [self.d, self.dmin].map(F16::from_f32)
    }
}

impl Grid for Q2K {
    type Scales = Lines<16>;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Lines<16> {
        fit::<3, 16, 16, 15>(weights, importance)
    }

    #[inline(always)]
    fn nearest(lines: &Lines<16>, at: usize, weight: f32) -> (u8, f32) {
        lines.nearest::<3>(at / 16, weight)
    }

    #[inline(always)]
    fn pack(lines: &Lines<16>, codes: &[u8]) -> Self {
        let scales = std::array::from_fn(|g| lines.scales[g] | lines.mins[g] << 4);
        let [d, dmin] = lines.halves();
        Q2K { scales, q: two_bits(codes), d, dmin }
    }
}

impl Grid for Q4K {
    type Scales = Lines<8>;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Lines<8> {
        fit::<15, 32, 8, 63>(weights, importance)
    }

    #[inline(always)]
    fn nearest(lines: &Lines<8>, at: usize, weight: f32) -> (u8, f32) {
        lines.nearest::<15>(at / 32, weight)
    }

    #[inline(always)]
    fn pack(lines: &Lines<8>, codes: &[u8]) -> Self {
        let [d, dmin] = lines.halves();
        Q4K { d, dmin, scales: scales_and_mins(&lines.scales, &lines.mins), q: low_nibbles(codes) }
    }
}

impl Grid for Q5K {
    type Scales = Lines<8>;

    #[inline(always)]
    fn fit(weights: &[f32], importance: &[f32]) -> Lines<8> {
        fit::<31, 32, 8, 63>(weights, importance)
    }

    #[inline(always)]
    fn nearest(lines: &Lines<8>, at: usize, weight: f32) -> (u8, f32) {
        lines.nearest::<31>(at / 32, weight)
    }

    #[inline(always)]
    fn pack(lines: &Lines<8>, codes: &[u8]) -> Self {
        let [d, dmin] = lines.halves();
        let mut high = [0; 32];
        for (group, codes) in codes.as_chunks::<32>().0.iter().enumerate() {
            for (high, code) in high.iter_mut().zip(codes) {
                *high |= (code >> 4) << group;
            }
        }
        let scales = scales_and_mins(&lines.scales, &lines.mins);
        Q5K { d, dmin, scales, high, low: low_nibbles(codes) }
    }
}

/// The low four bits of 256 codes, weights `64 c + i` and `64 c + 32 + i` in byte `32 c + i`.
#[inline(always)]
fn low_nibbles(codes: &[u8]) -> [u8; 128] {
    let codes = exactly::<256, u8>(codes);
    let mut out = [0; 128];
    for (i, out) in out.iter_mut().enumerate() {
        let at = i / 32 * 64 + i % 32;
        *out = codes[at] & 15 | codes[at + 32] << 4;
    }
    out
}

/// How much of a group's range is cut off at the low and at the high end, in steps.
const CUTS: [(f32, f32); 16] = {
    const ENDS: [f32; 4] = [-0.2, 0.1, 0.4, 0.7];
    let mut cuts = [(0.0, 0.0); 16];
    let mut lane = 0;
    while lane < 16 {
        cuts[lane] = (ENDS[lane / 4], ENDS[lane % 4]);
        lane += 1;
    }
    cuts
};

/// The largest integer of scales and of minimums, above what it may be: `d` and `dmin` are chosen to make it so.
const LARGEST: [f32; 4] = [0.4, -0.5, -1.4, -2.3];

/// How often `d` and `dmin` are fitted again, at most.
const ROUNDS: usize = 2;

/// Integer scales and minimums 0…TOP of N groups.
#[inline(always)]
fn fit<const T: i32, const GROUP: usize, const N: usize, const TOP: i32>(
    weights: &[f32],
    importance: &[f32],
) -> Lines<N> {
    let top = TOP as f32;
    let limit = MAX_SCALE * top;
    let x = &clamped::<256>(weights, -limit, limit * T as f32);
    if extreme(x).abs() < 0.5 * MIN_SCALE {
        return Lines::of([0.0; 2], [0.0; N], [0.0; N]);
    }
    let x = exactly::<N, [f32; GROUP]>(x.as_chunks().0);
    let importance = exactly::<N, [f32; GROUP]>(exactly::<256, f32>(importance).as_chunks().0);
    let (mut slopes, mut minimums) = ([0.0; N], [0.0; N]);
    for g in 0..N {
        let (min, max) = ends(&x[g]);
        let range = (min.min(0.0), max.max(0.0));
        let (slope, intercept) = best_line::<16, T, true>(&x[g], &importance[g], range, &CUTS);
        (slopes[g], minimums[g]) = (slope, -intercept);
    }
    let largest = |all: &[f32; N]| all.iter().fold(0.0_f32, |a, &b| a.max(b));
    let candidates = [largest(&slopes), largest(&minimums)]
        .map(|largest| to_scales(LARGEST.map(|more| largest / (top + more))));
    let pairs: [[f32; 2]; 16] =
        std::array::from_fn(|lane| [candidates[0][lane / 4], candidates[1][lane % 4]]);
    let integer = |x: f32, d: f32| round((x / d).clamp(0.0, top));
    let mut sum = [0.0; 16];
    for g in 0..N {
        let steps = pairs.map(|[d, _]| integer(slopes[g], d) * d);
        let offsets = pairs.map(|[_, dmin]| integer(minimums[g], dmin) * dmin);
        let inverses = steps.map(inverse);
        let [errors] = sums::<16, 1>(&x[g], &importance[g], |x, importance, lane| {
            let q = round(((x + offsets[lane]) * inverses[lane]).clamp(0.0, T as f32));
            let e = x - (q * steps[lane] - offsets[lane]);
            [importance * (e * e)]
        });
        sum = std::array::from_fn(|lane| sum[lane] + errors[lane]);
    }
    let [d, dmin] = pairs[least(&sum)];
    let scales = slopes.map(|slope| integer(slope, d));
    let mins = minimums.map(|min| integer(min, dmin));
    let mut best = neighbours::<T, GROUP, N, TOP>(x, importance, [d, dmin], scales, mins);
    for _ in 0..ROUNDS {
        let d = best.squares.solve(best.d);
        let next = neighbours::<T, GROUP, N, TOP>(x, importance, d, best.scales, best.mins);
        if next.error >= best.error {
            break;
        }
        best = next;
    }
    Lines::of(best.d, best.scales, best.mins)
}

struct Candidate<const N: usize> {
    d: [f32; 2],
    scales: [f32; N],
    mins: [f32; N],
    error: f32,
    squares: Squares,
}

/// Sums over all weights, with a = scale · integer and b = min: the best `d` and `dmin` are those of the least
/// Σ (x − d a + dmin b)².
#[derive(Default)]
struct Squares {
    aa: f32,
    ab: f32,
    bb: f32,
    xa: f32,
    xb: f32,
}

impl Squares {
    /// `d` and `dmin`, as halves; where the equations do not say, as they were.
    #[inline(always)]
    fn solve(&self, before: [f32; 2]) -> [f32; 2] {
        let &Self { aa, ab, bb, xa, xb } = self;
        let det = aa * bb - ab * ab;
        if det > 1e-4 * aa * bb {
            to_scales([(xa * bb - xb * ab) / det, (xa * ab - xb * aa) / det])
        } else if aa > 0.0 {
            to_scales([(xa + before[1] * ab) / aa, before[1]])
        } else {
            before
        }
    }
}

/// The neighbours of a pair of integers.
const NEAR: [(f32, f32); 8] =
    [(0.0, 0.0), (-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0), (1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)];

/// The best integers around `scales` and `mins`.
#[inline(always)]
fn neighbours<const T: i32, const GROUP: usize, const N: usize, const TOP: i32>(
    x: &[[f32; GROUP]; N],
    importance: &[[f32; GROUP]; N],
    [d, dmin]: [f32; 2],
    scales: [f32; N],
    mins: [f32; N],
) -> Candidate<N> {
    let mut best = Candidate { d: [d, dmin], scales, mins, error: 0.0, squares: Squares::default() };
    for g in 0..N {
        let near = NEAR.map(|(s, m)| [scales[g] + s, mins[g] + m].map(|i| i.clamp(0.0, TOP as f32)));
        let steps = near.map(|[s, _]| s * d);
        let offsets = near.map(|[_, m]| m * dmin);
        let inverses = steps.map(inverse);
        let [[n], [sum]] =
            sums::<1, 2>(&x[g], &importance[g], |x, importance, _| [importance, importance * x]);
        let [errors, xq, q, qq] = sums::<8, 4>(&x[g], &importance[g], |x, importance, lane| {
            let q = round(((x + offsets[lane]) * inverses[lane]).clamp(0.0, T as f32));
            let e = x - (q * steps[lane] - offsets[lane]);
            let weighted = importance * q;
            [importance * (e * e), x * weighted, weighted, q * weighted]
        });
        let lane = least(&errors);
        let [s, m] = near[lane];
        (best.scales[g], best.mins[g]) = (s, m);
        best.error += errors[lane];
        let squares = &mut best.squares;
        squares.aa += s * s * qq[lane];
        squares.ab += s * m * q[lane];
        squares.bb += m * m * n;
        squares.xa += s * xq[lane];
        squares.xb += m * sum;
    }
    best
}
