//! Float weights: eight chains of fused multiply-adds, column `k` in chain `k mod 8`, joined at the row's end by a fixed tree
//! ([`crate::lanes::join`]). So eight consecutive columns of a row are a vector at every level, and nothing has to be turned.
//!
//! One piece of code for all levels, which bring how eights of columns are added and how chains are joined. As plain code of eight
//! floats a product was unrolled by one build and not by another, whose sums went through memory (a quarter of the speed).
//!
//! For many tokens what counts is how long a row is read in one go. Two cores of a Zen 3, whose peak is 104 · 10⁹ multiply-adds a
//! second, F16 from memory, rows of 4096, 126 tokens, variants by turns in one process, medians: 76 by whole rows; joined after
//! 1024 columns 75, after 512 70; after 512 with activations that lie by 256 columns 60; by stretches of 512 columns of eight
//! rows that became floats in a tile of the first cache, 59, although from the caches that was as fast as any. Lost too: two rows with six
//! tokens, of which too much comes from the second cache; chains that wait in memory while others take 512 to 2048 columns (71);
//! prefetches into the first cache of what a row or the next rows have further on (57 to 73); activations in huge pages gained
//! 0.02. BF16 takes two instructions to become floats: 38 from the first cache for 48 with F16, and 42 with the odd columns apart
//! from the even ones, which would be a definition of its own.

pub(crate) mod scalar;
#[cfg(test)]
mod tests;

use crate::activations::Floats;
use crate::unpack::{Ahead, Panel, Results};
use blocks::Block;
use std::array;
use std::ops::Range;

/// Chains of a sum.
pub(crate) const CHAINS: usize = 8;

/// The chains of `R` vectors, each of one row or more, with `T` tokens.
pub(crate) type Sums<const V: usize, const R: usize, const T: usize> = [[[f32; V]; R]; T];

/// Eights of columns of the rows of `R` vectors, `P` each.
pub(crate) type Eights<'a, B, const P: usize, const R: usize> = [[&'a [[B; CHAINS]]; P]; R];

/// Multiplies rows of a panel with the first `T` tokens of `x`, the rows of `R` vectors at a time: weights go from the file
/// through registers, and where it `fetches`, the rows that come next are fetched.
///
/// `add` adds the products of eights of columns to their chains, and `join` makes sums of four rows' chains.
#[inline(always)]
pub(crate) fn multiply<const V: usize, const P: usize, const R: usize, const T: usize, B: Block>(
    panel: Panel<'_, B>,
    rows: Range<usize>,
    x: Floats<'_>,
    results: &mut Results,
    fetches: bool,
    add: impl Fn(&mut Sums<V, R, T>, Eights<'_, B, P, R>, [&[[f32; CHAINS]]; T], Option<&mut Ahead>),
    join: impl Fn([[f32; CHAINS]; 4]) -> [f32; 4],
) {
    const { assert!(V == P * CHAINS && (T * R * P).is_multiple_of(4), "chains are joined by four") };
    let x: [_; T] = array::from_fn(|t| x.token(t));
    for first in rows.step_by(R * P) {
        let rows: [[_; P]; R] = array::from_fn(|r| panel.rows(first + r * P).map(|row| row.as_chunks()));
        let mut ahead = fetches.then(|| panel.ahead::<4>(first + R * P, R * P));
        let mut sums = [[[0.0; V]; R]; T];
        let (whole, rest) = rows[0][0];
        let n_whole = whole.len();
        add(
            &mut sums,
            rows.map(|rows| rows.map(|(whole, _)| whole)),
            x.map(|x| &x[..n_whole]),
            ahead.as_mut(),
        );
        if !rest.is_empty() {
            let rest = rows.map(|rows| rows.map(|(_, rest)| [padded(rest)]));
            add(
                &mut sums,
                rest.each_ref().map(|rows| rows.each_ref().map(|row| &row[..])),
                x.map(|x| &x[n_whole..]),
                None,
            );
        }
        for (i, chains) in sums.as_flattened().as_flattened().as_chunks().0.as_chunks().0.iter().enumerate() {
            for (j, sum) in join(*chains).into_iter().enumerate() {
                let at = 4 * i + j;
                results[at / (R * P)][first + at % (R * P)] += sum;
            }
        }
    }
}

/// Adds products of eights of columns, a vector at a time: `load` makes floats of eight weights of each of its rows, `add` adds a
/// vector's products.
#[inline(always)]
pub(crate) fn add_eights<const V: usize, const P: usize, const R: usize, const T: usize, B: Block>(
    sums: &mut Sums<V, R, T>,
    rows: Eights<'_, B, P, R>,
    x: [&[[f32; CHAINS]]; T],
    mut ahead: Option<&mut Ahead>,
    load: impl Fn([&[B; CHAINS]; P]) -> [f32; V],
    add: impl Fn(&mut [f32; V], &[f32; V], &[f32; CHAINS]),
) {
    let n = rows[0][0].len();
    let (rows, x) = (rows.map(|rows| rows.map(|row| &row[..n])), x.map(|x| &x[..n]));
    // By value, or each product's sum is written to memory.
    let mut new = *sums;
    for k in 0..n {
        if let Some(ahead) = &mut ahead {
            ahead.used(R * P * CHAINS * size_of::<B>());
        }
        for r in 0..R {
            let vector = load(rows[r].map(|row| &row[k]));
            for t in 0..T {
                add(&mut new[t][r], &vector, &x[t][k]);
            }
        }
    }
    *sums = new;
}

/// A row's last weights, and zeros.
#[cold]
fn padded<B: Block>(weights: &[B]) -> [B; CHAINS] {
    let mut padded = [B::zeroed(); CHAINS];
    padded[..weights.len()].copy_from_slice(weights);
    padded
}
