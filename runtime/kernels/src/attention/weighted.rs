//! Sums of rows by weights, which scores and results both are.

use crate::Isa;

/// `out += Σ weight · row` for each of some queries, row by row; some columns at a time, whose sums stay in registers.
#[inline(always)]
pub(super) fn add_weighted<const N: usize>(
    isa: Isa,
    mut out: [&mut [f32]; N],
    weights: [&[f32]; N],
    rows: &[f32],
    stride: usize,
) {
    let n_cols = out[0].len();
    let mut first = 0;
    macro_rules! columns {
        ($($width:literal)*) => {$(
            while n_cols - first >= $width {
                let out = out.each_mut().map(|out| {
                    let out: &mut [f32; $width] = (&mut out[first..first + $width]).try_into().expect("as many");
                    out
                });
                add_weighted_columns(out, weights, rows, stride, first);
                first += $width;
            }
        )*};
    }
    // A sum waits for the one before it: so many that none does, as far as registers go.
    if isa.n_floats() == 16 || N == 1 {
        columns!(64);
    }
    columns!(16 8 1);
}

#[inline(always)]
fn add_weighted_columns<const N: usize, const WIDTH: usize>(
    mut out: [&mut [f32; WIDTH]; N],
    weights: [&[f32]; N],
    rows: &[f32],
    stride: usize,
    first: usize,
) {
    let n = weights[0].len();
    let weights = weights.map(|weights| &weights[..n]);
    let mut sums = out.each_ref().map(|out| **out);
    for (k, row) in (0..n).zip(rows.chunks_exact(stride)) {
        let row: &[f32; WIDTH] = row[first..first + WIDTH].try_into().expect("as many");
        for (sums, weights) in sums.iter_mut().zip(&weights) {
            for i in 0..WIDTH {
                sums[i] = weights[k].mul_add(row[i], sums[i]);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        **out = sums;
    }
}
