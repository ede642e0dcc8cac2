//! How far to go, by what held-out tokens say.

use super::moments::Input;
use super::tile::{ROWS, Tile};
use super::upstream::Upstream;
use super::{Task, come, wish};
use crate::Error;
use blocks::{TensorType, with_block};

/// How much of the errors of the layers below may be made good.
const STRENGTHS: [f32; 3] = [1.0, 0.5, 0.0];

/// What λ may be, from correlations that are believed to such that are not.
const SHRINKS: [f32; 5] = [0.02, 0.1, 0.3, 0.6, 1.0];

/// Where the search for λ begins.
const FIRST_SHRINK: usize = 1;

/// Rows of a matrix on which λ is tried.
const SAMPLE_ROWS: usize = ROWS;

/// How an input is made use of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Choice {
    /// λ.
    pub(crate) shrink: f32,
    /// How much of the errors of the layers below is made good, as far as it can be.
    pub(crate) strength: f32,
}

/// The choice that makes the least error on held-out tokens, tried on some rows of all matrices of an input. The input holds
/// its factor afterwards.
pub(crate) fn choose(
    input: &mut Input,
    upstream: Option<&Upstream>,
    tasks: &[Task<'_>],
) -> Result<Choice, Error> {
    let n = input.n_cols();
    let mut samples = Vec::new();
    for task in tasks {
        let n_rows = task.n_rows.min(SAMPLE_ROWS);
        let mut rows = vec![0.0; n_rows * n];
        for (at, row) in rows.chunks_exact_mut(n).enumerate() {
            let at = at * task.n_rows / n_rows;
            (task.fill)(at..at + 1, row)?;
        }
        samples.push((task.ty, rows));
    }
    let importance = input.importance();
    let differences = upstream.map(Upstream::held_out);
    let tried = |input: &Input, choice: Option<Choice>, ty: TensorType, rows: &[f32]| {
        with_block!(grid ty, B => {
            let mut tiles = [Tile::<B>::new(rows, n)];
            let strength = choice.map_or(0.0, |choice| choice.strength);
            wish(input, upstream, differences.as_deref(), strength, &mut tiles);
            let [tile] = match choice {
                Some(_) => {
                    come(input, &mut tiles);
                    tiles
                }
                None => {
                    tiles[0].rounded = tiles[0].search(input, &importance);
                    tiles
                }
            };
            tile.judge(input, &tile.rounded).iter().sum::<f64>()
        }, else 0.0)
    };
    input.factor(1.0);
    let by_importance: Vec<f64> =
        samples.iter().map(|(ty, rows)| tried(input, None, *ty, rows).max(f64::MIN_POSITIVE)).collect();
    let mut factored = 1.0;
    let mut cost = |choice: Choice| {
        if choice.shrink != factored {
            input.factor(choice.shrink);
            factored = choice.shrink;
        }
        let samples = samples.iter().zip(&by_importance);
        samples.map(|((ty, rows), least)| tried(input, Some(choice), *ty, rows) / least).sum::<f64>()
    };
    // The cost falls and rises once: who goes down reaches the bottom.
    let strength = if upstream.is_some() { STRENGTHS[0] } else { 0.0 };
    let mut best = FIRST_SHRINK;
    let mut least = cost(Choice { shrink: SHRINKS[best], strength });
    for step in [1, -1] {
        let mut moved = false;
        while let Some(next) = best.checked_add_signed(step).filter(|&next| next < SHRINKS.len()) {
            let found = cost(Choice { shrink: SHRINKS[next], strength });
            if found >= least {
                break;
            }
            (best, least, moved) = (next, found, true);
        }
        if moved {
            break;
        }
    }
    let mut choice = Choice { shrink: SHRINKS[best], strength };
    for &strength in STRENGTHS[1..].iter().filter(|_| upstream.is_some()) {
        let found = cost(Choice { strength, ..choice });
        if found < least {
            (choice.strength, least) = (strength, found);
        }
    }
    if factored != choice.shrink {
        input.factor(choice.shrink);
    }
    Ok(choice)
}
