//! Error feedback: a weight is rounded for what the others of its row leave to it.
//!
//! What counts is not a weight's error but its row's output, and inputs go together: an error in one column can be made
//! good in others. So columns are rounded one after the other, and each takes over what those before it have left
//! ([`factor`]); a block's scales are fitted to weights that are corrected so far, by what is left of an error when all
//! columns that come later have done their best. Then, span by span, each is done again while the others stay: it cannot
//! become worse. How far correlations are to be believed (λ) is decided on tokens that were held out of them; and the
//! same tokens judge each row in the end: where the plain encoder or the one by importance alone does better, its row is taken.
//!
//! | file | |
//! |---|---|
//! | `panels` | products, the one loop that all time is spent in |
//! | `moments` | an input's second moments |
//! | `factor` | the triangle that feedback goes by |
//! | `span` | what rows need of the columns that are their turn |
//! | `tile` `round` | rows at work; a panel of them in a span |
//! | `upstream` | errors of the layers below, made good in part |
//! | `choice` | how far to go |
//! | `outputs` | what errors do to the outputs of the tokens that were learned from |

mod choice;
mod factor;
mod moments;
mod outputs;
mod panels;
mod round;
mod span;
#[cfg(test)]
mod tests;
mod tile;
mod upstream;

pub(crate) use choice::{Choice, choose};
pub(crate) use moments::{Input, Moments};
pub(crate) use upstream::Upstream;

use crate::{Cancelled, Error, Grid, Loss, Share};
use blocks::{TensorType, with_block};
use panels::Lanes;
use rayon::prelude::*;
use span::{Again, Coming, SPAN, spans};
use std::ops::Range;
use tile::{ROWS, Tile};

/// How often each span is done again, and how often single weights are gone over in each.
const SWEEPS: usize = 2;
const PASSES: usize = 2;

/// Rows that are at work at once: what all rows need of the columns is made once for these, and takes as long as a hundred
/// rows do. Two tiles for each thread at least.
fn wave_rows(n_threads: usize) -> usize {
    ROWS * (2 * n_threads).max(16)
}

/// Writes the weights of consecutive rows.
pub(crate) type Fill<'a> = &'a (dyn Fn(Range<usize>, &mut [f32]) -> Result<(), Error> + Sync);

/// A matrix to be quantized.
pub(crate) struct Task<'a> {
    /// What it becomes.
    pub(crate) ty: TensorType,
    /// Rows.
    pub(crate) n_rows: usize,
    /// Its weights.
    pub(crate) fill: Fill<'a>,
}

/// How a matrix fared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judgement {
    /// λ: how much correlations were shrunk.
    pub shrink: f32,
    /// How much of the errors of the layers below was made good, as far as it could be.
    pub strength: f32,
    /// Rows that were taken from the plain encoder, the one by importance, and feedback.
    pub n_rows: [u64; 3],
    /// Squared errors of the outputs on held-out tokens that each of the three would make.
    pub held_out: [f64; 3],
}

/// Bytes that [`encode`] takes at most beside what it gives, for a matrix of such rows.
pub(crate) fn n_bytes(n_rows: u64, n_cols: u64, n_threads: u64) -> u64 {
    let tile = ROWS as u64 * n_cols;
    let wave_rows = (wave_rows(n_threads as usize) as u64).min(n_rows.next_multiple_of(ROWS as u64));
    let wave = wave_rows.saturating_mul(n_cols);
    // Floats as they come, weights, errors, codes and scales; and for each thread twice the last three, for alternatives, and
    // a tile's weights in two other forms.
    let kept = 4 + 1 + 4;
    let per_span = 2 * SPAN as u64 * n_cols * 4;
    let per_thread = tile * (2 * kept + 4 + 4);
    (wave * (4 + 4 + kept)).saturating_add(n_threads * per_thread).saturating_add(per_span)
}

/// Products that [`encode`] takes for a row, about: each search counts as so many of them as take its time.
pub(crate) fn n_products(n_cols: u64, n_held_out: u64) -> u64 {
    // What a row wishes, its first round, and its sweeps, of all columns with all; the judgements; the searches.
    n_cols * (2 * n_cols + n_cols / 2 + SWEEPS as u64 * n_cols + 4 * n_held_out + 6000)
}

/// Products that an input takes, about: its moments, the other stream's, and the factors that are tried.
pub(crate) fn n_products_of_input(n_cols: u64, n_tokens: u64) -> u64 {
    n_cols * n_cols * (n_tokens / 2 + n_tokens + 4 * n_cols / 6)
}

/// Has rows wish for what makes errors of the layers below good.
fn wish<B: Grid>(
    input: &Input,
    upstream: Option<&Upstream>,
    differences: Option<&[Lanes]>,
    strength: f32,
    tiles: &mut [Tile<B>],
) {
    let (Some(upstream), Some(differences)) = (upstream, differences) else { return };
    let changes = {
        let weights: Vec<_> = tiles.iter().map(Tile::original).collect();
        upstream::changes(input, upstream, &weights)
    };
    tiles
        .par_iter_mut()
        .zip(changes)
        .for_each(|(tile, changes)| tile.wish(input, differences, &changes, strength));
}

/// Quantizes a matrix: its blocks, row by row, and what they lose, on the tokens that were learned from only if `measures`. The
/// input holds the factor of the choice. `each(rows)` is told of rows that are done and may stop it.
pub(crate) fn encode(
    input: &Input,
    upstream: Option<&Upstream>,
    choice: Choice,
    task: &Task<'_>,
    measures: bool,
    each: &dyn Fn(usize) -> Result<(), Cancelled>,
) -> Result<(Vec<u8>, Loss), Error> {
    with_block!(grid task.ty, B => encode_as::<B>(input, upstream, choice, task, measures, each),
        else panic!("{} is no grid", task.ty))
}

fn encode_as<B: Grid>(
    input: &Input,
    upstream: Option<&Upstream>,
    choice: Choice,
    task: &Task<'_>,
    measures: bool,
    each: &dyn Fn(usize) -> Result<(), Cancelled>,
) -> Result<(Vec<u8>, Loss), Error> {
    let n = input.n_cols();
    let importance = input.importance();
    let alike = vec![1.0; n];
    let row_bytes = n / B::LEN * size_of::<B>();
    let mut out = vec![0; task.n_rows * row_bytes];
    let judgement = Judgement { shrink: choice.shrink, strength: choice.strength, ..Judgement::default() };
    let mut loss = Loss { judgement: Some(judgement), ..Loss::default() };
    let differences = upstream.map(Upstream::held_out);
    let wave_rows = wave_rows(rayon::current_num_threads());
    for start in (0..task.n_rows).step_by(wave_rows) {
        let rows = start..task.n_rows.min(start + wave_rows);
        let mut tiles = rows
            .clone()
            .into_par_iter()
            .step_by(ROWS)
            .map(|first| {
                let some = first..rows.end.min(first + ROWS);
                let mut floats = vec![0.0; some.len() * n];
                (task.fill)(some, &mut floats)?;
                Ok(Tile::<B>::new(&floats, n))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        wish(input, upstream, differences.as_deref(), choice.strength, &mut tiles);
        come(input, &mut tiles);
        for _ in 0..SWEEPS {
            for columns in spans(n).rev() {
                let span = Again::new(input, columns, choice.shrink);
                tiles.par_iter_mut().for_each(|tile| tile.come_again(input, &span, PASSES));
            }
        }
        let out = &mut out[rows.start * row_bytes..rows.end * row_bytes];
        let of_tiles = tiles.par_iter_mut().zip(out.par_chunks_mut(ROWS * row_bytes)).map(|(tile, out)| {
            let mut loss = guard(input, tile, &alike, &importance, out.len() / row_bytes);
            let (mut row_floats, mut again) = (vec![0.0; n], vec![0.0; n]);
            for (row, out) in out.chunks_exact_mut(row_bytes).enumerate() {
                let out = bytemuck::cast_slice_mut(out);
                tile.pack(row, out);
                blocks::decode(out, &mut again);
                tile.original_row(row, &mut row_floats);
                loss.weights.add(Share::of(&row_floats, &again, None));
            }
            loss
        });
        // In the order of the rows: sums of floats.
        for of_tile in of_tiles.collect::<Vec<_>>() {
            loss.add(&of_tile);
        }
        if measures {
            loss.train.get_or_insert_default().add(outputs::share(input, &tiles, rows.len()));
        }
        each(rows.len())?;
    }
    Ok((out, loss))
}

/// The first round.
fn come<B: Grid>(input: &Input, tiles: &mut [Tile<B>]) {
    for columns in spans(input.n_cols()).rev() {
        let span = Coming::new(input, columns);
        tiles.par_iter_mut().for_each(|tile| tile.come(input, &span));
    }
}

/// Takes each row from the encoder that does best on held-out tokens.
fn guard<B: Grid>(
    input: &Input,
    tile: &mut Tile<B>,
    alike: &[f32],
    importance: &[f32],
    n_rows: usize,
) -> Loss {
    let others = [tile.search(input, alike), tile.search(input, importance)];
    let costs =
        [tile.judge(input, &others[0]), tile.judge(input, &others[1]), tile.judge(input, &tile.rounded)];
    let wholes = tile.squares(input);
    let (mut judgement, mut held_out) = (Judgement::default(), Share::default());
    for row in 0..n_rows {
        let of_row = costs.map(|costs| costs[row]);
        // Of equals the last: feedback.
        let best = (0..3).rev().min_by(|&a, &b| of_row[a].total_cmp(&of_row[b])).unwrap_or(2);
        if let Some(other) = others.get(best) {
            tile.take(row, other);
        }
        judgement.n_rows[best] += 1;
        judgement.held_out.iter_mut().zip(of_row).for_each(|(sum, cost)| *sum += cost);
        held_out.add(Share { error: of_row[best], whole: wholes[row] });
    }
    Loss { held_out: Some(held_out), judgement: Some(judgement), ..Loss::default() }
}

impl Judgement {
    /// Adds other rows of the same matrix.
    pub(crate) fn add(&mut self, other: &Self) {
        self.n_rows.iter_mut().zip(other.n_rows).for_each(|(sum, n)| *sum += n);
        self.held_out.iter_mut().zip(other.held_out).for_each(|(sum, x)| *sum += x);
    }
}
