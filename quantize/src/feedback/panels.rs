//! Products of matrices, all of them by one loop over panels.
//!
//! A *panel* is sixteen rows (or columns) side by side: for each k the sixteen numbers that stand there. A product of two
//! panels is a tile of 16 × 16 sums over k, which stay in registers while a panel of 256 k stays in the first cache. The
//! second moments of a layer's inputs, the factor, the feedback and the errors on held-out tokens are all made of
//! these. A sum is one chain of fused multiply-adds in the order of k, so no number of threads changes a bit.

use kernels::Isa;
use std::sync::LazyLock;

/// Rows of a panel.
pub(crate) const LANES: usize = 16;

/// What a panel has for one k.
pub(crate) type Lanes = [f32; LANES];

/// Numbers of k whose two panels, 16 KiB each, fit the first cache.
pub(crate) const DEPTH: usize = 256;

static LEVEL: LazyLock<Isa> = LazyLock::new(Isa::detect);

/// Runs `body`, and what it calls of `#[inline(always)]`, compiled for this processor. Fused multiply-adds are a call each
/// where they are compiled without it: `body` must be `#[inline(always)]`, and loops in it plain.
#[inline(always)]
pub(crate) fn compiled<R>(body: impl FnOnce() -> R) -> R {
    // Not wider: what is compiled here is made for each format, and each copy counts.
    LEVEL.run_narrow(body)
}

/// `out[i][j] += Σ_k a[k][i] · b[k][j]`. To be called where the code is [`compiled`].
#[inline(always)]
pub(crate) fn add_product(a: &[Lanes], b: &[Lanes], out: &mut [Lanes; LANES]) {
    for (a, b) in a.chunks(DEPTH).zip(b.chunks(DEPTH)) {
        for (quarter, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let mut sums = *out;
            for (a, b) in a.iter().zip(b) {
                let a = &a.as_chunks::<4>().0[quarter];
                for i in 0..4 {
                    for j in 0..LANES {
                        sums[i][j] = a[i].mul_add(b[j], sums[i][j]);
                    }
                }
            }
            *out = sums;
        }
    }
}

/// `x += factor · y`, number by number. To be called where the code is [`compiled`].
#[inline(always)]
pub(crate) fn add_scaled(x: &mut Lanes, factor: f32, y: &Lanes) {
    for lane in 0..LANES {
        x[lane] = factor.mul_add(y[lane], x[lane]);
    }
}

/// Rows of numbers as panels of columns: panel `p` has columns `16 p …`, and a row of them is a k.
pub(crate) fn of_columns(x: &[f32], n_cols: usize) -> Vec<Lanes> {
    let n = x.len() / n_cols;
    let mut panels = vec![[0.0; LANES]; n_cols / LANES * n];
    for (k, row) in x.chunks_exact(n_cols).enumerate() {
        for (p, columns) in row.as_chunks::<LANES>().0.iter().enumerate() {
            panels[p * n + k] = *columns;
        }
    }
    panels
}

/// Rows of numbers as panels of rows: in panel `p` lane `l` is row `16 p + l`, and a column is a k. Rows that are missing
/// in the last panel are zeros.
pub(crate) fn of_rows(x: &[f32], n_cols: usize) -> Vec<Lanes> {
    let n_panels = (x.len() / n_cols).div_ceil(LANES);
    let mut panels = vec![[0.0; LANES]; n_panels * n_cols];
    for (at, row) in x.chunks_exact(n_cols).enumerate() {
        let panel = &mut panels[at / LANES * n_cols..][..n_cols];
        panel.iter_mut().zip(row).for_each(|(lanes, &x)| lanes[at % LANES] = x);
    }
    panels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_what_its_formula_says() {
        // Small integers: any order of additions gives the same.
        let number = |i: usize| ((i * 7 + i / 5) % 11) as f32 - 5.0;
        for depth in [0, 1, 255, 256, 300] {
            let (a, b): (Vec<f32>, Vec<f32>) =
                ((0..16 * depth).map(number).collect(), (0..16 * depth).map(|i| number(i + 3)).collect());
            let mut out = [[1.0; LANES]; LANES];
            // A panel of columns and one of rows: k runs along the other side.
            compiled(
                #[inline(always)]
                || add_product(&of_columns(&a, LANES), &of_rows(&b, depth.max(1)), &mut out),
            );
            for (i, out) in out.iter().enumerate() {
                for (j, &out) in out.iter().enumerate() {
                    let sum: f32 = (0..depth).map(|k| a[k * 16 + i] * b[j * depth + k]).sum();
                    assert_eq!(out, 1.0 + sum, "{depth}: {i} {j}");
                }
            }
        }
    }
}
