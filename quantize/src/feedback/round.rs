//! A panel of rows goes through the columns of a span.

use super::panels::{DEPTH, LANES, Lanes, add_product, add_scaled, compiled};
use super::span::Inner;
use crate::encode::{self, Grid};

/// Lanes of a panel in a span.
pub(super) type Span = Vec<Lanes>;

/// Scales for a panel's rows, `[lane][block]`.
pub(super) fn fit<B: Grid>(target: &[Lanes], importance: &[f32]) -> Vec<B::Scales> {
    let mut block = vec![0.0; B::LEN];
    let mut scales = Vec::with_capacity(LANES * (target.len() / B::LEN));
    for lane in 0..LANES {
        for (target, importance) in target.chunks_exact(B::LEN).zip(importance.chunks_exact(B::LEN)) {
            block.iter_mut().zip(target).for_each(|(x, lanes)| *x = lanes[lane]);
            scales.push(encode::fit::<B>(&block, importance));
        }
    }
    scales
}

/// Rounds a panel's columns, the last first; each error goes to the targets of the columns before. What comes of it is
/// measured against the origin.
pub(super) fn round<B: Grid>(
    origin: &[Lanes],
    targets: &mut [Lanes],
    scales: &[B::Scales],
    norms: &[f32],
    inner: &Inner,
) -> (Vec<[u8; LANES]>, Span) {
    let len = origin.len();
    let n_blocks = len / B::LEN;
    let mut codes = vec![[0; LANES]; len];
    let mut errors = vec![[0.0; LANES]; len];
    compiled(
        #[inline(always)]
        || {
            for j in (0..len).rev() {
                let (before, target) = targets.split_at_mut(j);
                let error = &mut errors[j];
                for lane in 0..LANES {
                    let scales = &scales[lane * n_blocks + j / B::LEN];
                    let (code, value) = B::nearest(scales, j % B::LEN, target[0][lane]);
                    codes[j][lane] = code;
                    error[lane] = norms[j] * (origin[j][lane] - value);
                }
                let feedback = &inner.feedback[j * len..][..j];
                for (target, &x) in before.iter_mut().zip(feedback) {
                    add_scaled(target, x, error);
                }
            }
        },
    );
    (codes, errors)
}

/// Goes over a panel's columns once, and gives each weight the value that is best while the others stay. `slopes` are
/// `own` times the errors.
pub(super) fn descend<B: Grid>(
    origin: &[Lanes],
    scales: &[B::Scales],
    norms: &[f32],
    own: &[f32],
    codes: &mut [[u8; LANES]],
    errors: &mut [Lanes],
    slopes: &mut [Lanes],
) {
    let len = origin.len();
    let n_blocks = len / B::LEN;
    compiled(
        #[inline(always)]
        || {
            for j in (0..len).rev() {
                let mut steps = [0.0; LANES];
                for lane in 0..LANES {
                    let best = (errors[j][lane] - slopes[j][lane]) / norms[j];
                    let scales = &scales[lane * n_blocks + j / B::LEN];
                    let (code, value) = B::nearest(scales, j % B::LEN, origin[j][lane] - best);
                    let error = norms[j] * (origin[j][lane] - value);
                    let step = error - errors[j][lane];
                    if step * (step + 2.0 * slopes[j][lane]) < 0.0 {
                        codes[j][lane] = code;
                        errors[j][lane] = error;
                        steps[lane] = step;
                    }
                }
                if steps != [0.0; LANES] {
                    let row = &own[j * len..][..len];
                    for (slope, &x) in slopes.iter_mut().zip(row) {
                        add_scaled(slope, x, &steps);
                    }
                }
            }
        },
    );
}

/// A symmetric square times a panel.
pub(super) fn multiply(square: &[f32], panel: &[Lanes]) -> Span {
    let len = panel.len();
    let mut out = vec![[0.0; LANES]; len];
    compiled(
        #[inline(always)]
        || {
            for (row, x) in square.chunks_exact(len).zip(panel) {
                for (out, &factor) in out.iter_mut().zip(row) {
                    add_scaled(out, factor, x);
                }
            }
        },
    );
    out
}

/// `out[p][column] += Σ_k panels[column][k] · x[p][k]`, but for the k of the span that starts at `but`.
pub(super) fn add_products(panels: &[Lanes], x: &[&[Lanes]], out: &mut [Span], but: Option<usize>) {
    let depth = x.first().map_or(0, |x| x.len());
    compiled(
        #[inline(always)]
        || {
            for k in (0..depth).step_by(DEPTH) {
                if but == Some(k) {
                    continue;
                }
                let some = k..depth.min(k + DEPTH);
                for (column, panel) in panels.chunks_exact(depth).enumerate() {
                    for (x, out) in x.iter().zip(out.iter_mut()) {
                        let out = &mut out.as_chunks_mut::<LANES>().0[column];
                        add_product(&panel[some.clone()], &x[some.clone()], out);
                    }
                }
            }
        },
    );
}

/// What rows, `[panel][n]`, give for tokens: for each panel of tokens a tile for each panel of rows, upon what is in `base`,
/// if there is something.
pub(super) fn outputs(
    n: usize,
    tokens: &[Lanes],
    rows: &[Lanes],
    base: &[[Lanes; LANES]],
) -> Vec<[Lanes; LANES]> {
    let n_panels = rows.len() / n;
    let mut outputs = vec![[[0.0; LANES]; LANES]; tokens.len() / n * n_panels];
    if base.len() == outputs.len() {
        outputs.copy_from_slice(base);
    }
    compiled(
        #[inline(always)]
        || {
            for (tokens, outputs) in tokens.chunks_exact(n).zip(outputs.chunks_exact_mut(n_panels)) {
                for k in (0..n).step_by(DEPTH) {
                    let some = k..n.min(k + DEPTH);
                    for (rows, output) in rows.chunks_exact(n).zip(outputs.iter_mut()) {
                        add_product(&tokens[some.clone()], &rows[some.clone()], output);
                    }
                }
            }
        },
    );
    outputs
}

/// What errors cost, from them and their slopes.
pub(super) fn costs(errors: &[Lanes], slopes: &[Lanes]) -> Lanes {
    let mut costs = [0.0; LANES];
    for (errors, slopes) in errors.iter().zip(slopes) {
        for lane in 0..LANES {
            costs[lane] += errors[lane] * slopes[lane];
        }
    }
    costs
}
