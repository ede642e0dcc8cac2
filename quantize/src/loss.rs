//! What a tensor lost when it became blocks, counted while they are written.
//!
//! Weights are compared as they are, and by what their errors do to outputs: on the inputs that were learned from, and on
//! some that were held out. All of these are sums of squares beside those of what they are errors of, so that tensors add
//! up. They go into the journal of an unfinished file, from where a run that goes on has those of the tensors that are there.

use crate::feedback::Judgement;
use blocks::{TensorType, with_block};

/// Squared errors beside the squares of what they are errors of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Σ (x̂ − x)².
    pub error: f64,
    /// Σ x².
    pub whole: f64,
}

/// What a tensor lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Of the weights, all alike.
    pub weights: Share,
    /// Of the outputs, on the inputs that were learned from: of an importance matrix, as if columns were independent; of a
    /// calibration text, with all correlations, against the rows that were aimed at. `None` where there are no such inputs,
    /// or nobody asked.
    pub train: Option<Share>,
    /// Of the outputs, on tokens of the calibration text that were held out, against the original's: what the layers below
    /// have lost is in it.
    pub held_out: Option<Share>,
    /// How the matrix fared that was learned.
    pub judgement: Option<Judgement>,
}

impl Share {
    /// Adds those of others.
    pub fn add(&mut self, other: Self) {
        self.error += other.error;
        self.whole += other.whole;
    }

    /// Of floats and what they became, each column times its importance.
    pub(crate) fn of(x: &[f32], became: &[f32], importance: Option<&[f32]>) -> Self {
        let mut share = Self::default();
        let factors = importance.into_iter().flatten().copied().chain(std::iter::repeat(1.0));
        for ((&x, &became), factor) in x.iter().zip(became).zip(factors) {
            let (x, factor) = (f64::from(x), f64::from(factor));
            share.error += factor * (f64::from(became) - x).powi(2);
            share.whole += factor * x * x;
        }
        share
    }

    /// Root of the mean square of the errors over that of what they are errors of; 0 where nothing was lost, `None` where
    /// all was 0, or no number.
    pub fn root(self) -> Option<f64> {
        let share = if self.error == 0.0 { 0.0 } else { self.error / self.whole };
        share.is_finite().then(|| share.sqrt())
    }
}

/// The numbers of a [`Loss`].
const NUMBERS: usize = 14;

impl Loss {
    /// Of rows of floats that became blocks of `ty`, whole rows of `n_cols`; `again` is scratch of the same length.
    pub(crate) fn of(
        ty: TensorType,
        floats: &[f32],
        bytes: &[u8],
        importance: Option<&[f32]>,
        again: &mut [f32],
    ) -> Self {
        with_block!(ty, B => blocks::decode(blocks::from_bytes::<B>(bytes), again), else again.fill(f32::NAN));
        let train = importance.map(|importance| {
            let mut share = Share::default();
            let n_cols = importance.len();
            for (floats, again) in floats.chunks_exact(n_cols).zip(again.chunks_exact(n_cols)) {
                share.add(Share::of(floats, again, Some(importance)));
            }
            share
        });
        Self { weights: Share::of(floats, again, None), train, ..Self::default() }
    }

    /// Adds what other rows of the same tensor lost, that were measured in the same way.
    pub(crate) fn add(&mut self, other: &Self) {
        self.weights.add(other.weights);
        for (share, other) in [(&mut self.train, other.train), (&mut self.held_out, other.held_out)] {
            if let Some(other) = other {
                share.get_or_insert_default().add(other);
            }
        }
        if let Some(other) = &other.judgement {
            self.judgement.get_or_insert_default().add(other);
        }
    }

    /// Itself as a line, exactly.
    pub(crate) fn to_note(self) -> String {
        let shares = [Some(self.weights), self.train, self.held_out];
        let mut numbers: Vec<f64> = Vec::with_capacity(NUMBERS);
        for share in shares {
            numbers.extend(share.map_or([f64::NAN; 2], |share| [share.error, share.whole]));
        }
        let judged = self.judgement.map(|Judgement { shrink, strength, n_rows, held_out }| {
            let [a, b, c] = n_rows.map(|n| n as f64);
            let [d, e, f] = held_out;
            [shrink.into(), strength.into(), a, b, c, d, e, f]
        });
        numbers.extend(judged.unwrap_or([f64::NAN; 8]));
        numbers.iter().map(|number| format!("{:016x}", number.to_bits())).collect::<Vec<_>>().join(" ")
    }

    /// From such a line.
    pub(crate) fn from_note(note: &str) -> Option<Self> {
        let number = |hex: &str| u64::from_str_radix(hex, 16).ok().map(f64::from_bits);
        let numbers: Vec<f64> = note.split(' ').map(number).collect::<Option<_>>()?;
        let [shares @ .., shrink, strength, a, b, c, d, e, f] = <[f64; NUMBERS]>::try_from(numbers).ok()?;
        let share = |at: usize| {
            let [error, whole] = [shares[2 * at], shares[2 * at + 1]];
            (!whole.is_nan()).then_some(Share { error, whole })
        };
        let judgement = Judgement {
            shrink: shrink as f32,
            strength: strength as f32,
            n_rows: [a, b, c].map(|n| n as u64),
            held_out: [d, e, f],
        };
        Some(Self {
            weights: share(0).unwrap_or(Share { error: f64::NAN, whole: f64::NAN }),
            train: share(1),
            held_out: share(2),
            judgement: (!shrink.is_nan()).then_some(judgement),
        })
    }
}

/// What outputs lose on held-out tokens, over all matrices that were judged: root of the mean of their squared shares. `None`
/// where none was.
pub(crate) fn mean_held_out(losses: &[Option<Loss>]) -> Option<f64> {
    let shares = losses.iter().flatten().filter_map(|loss| loss.held_out).filter(|share| share.whole > 0.0);
    let (sum, n) = shares.fold((0.0, 0.0), |(sum, n), share| (sum + share.error / share.whole, n + 1.0));
    (n > 0.0).then(|| f64::sqrt(sum / n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode;

    #[test]
    fn an_error_is_a_share_of_what_it_is_an_error_of() {
        let ty = TensorType::Q8_0;
        let floats: Vec<f32> = (0..128).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
        let mut importance = vec![0.0; 64];
        importance[3] = 2.0;
        let mut bytes = vec![0; 4 * 34];
        encode(ty, &floats, None, &mut bytes);
        let mut again = vec![0.0; 128];
        let loss = Loss::of(ty, &floats, &bytes, Some(&importance), &mut again);
        let square = |at: usize| f64::from(floats[at] - again[at]).powi(2);
        let all: f64 = (0..128).map(square).sum();
        assert!(
            (loss.weights.error / all - 1.0).abs() < 1e-6
                && (0.001..0.01).contains(&loss.weights.root().unwrap())
        );
        let train = loss.train.unwrap();
        assert!((train.error / (2.0 * (square(3) + square(67))) - 1.0).abs() < 1e-5, "{train:?}");
        let whole = 2.0 * (f64::from(floats[3]).powi(2) + f64::from(floats[67]).powi(2));
        assert!((train.whole / whole - 1.0).abs() < 1e-9);
        for (error, whole, root) in
            [(0.0, 0.0, Some(0.0)), (1.0, 0.0, None), (1.0, 4.0, Some(0.5)), (f64::NAN, 1.0, None)]
        {
            assert_eq!(Share { error, whole }.root(), root);
        }
    }

    #[test]
    fn a_note_is_exact() {
        let share = |error| Some(Share { error, whole: 1.0 / 3.0 });
        let judgement =
            Judgement { shrink: 0.1, strength: 0.5, n_rows: [1, 2, 1 << 40], held_out: [1e-300, 0.1, 2.0] };
        let bare = Loss { weights: share(0.1).unwrap(), ..Loss::default() };
        let full = Loss { train: share(0.2), held_out: share(0.0), judgement: Some(judgement), ..bare };
        for loss in [bare, full, Loss::default()] {
            assert_eq!(Loss::from_note(&loss.to_note()), Some(loss));
        }
        for note in ["", "zz", "0000000000000000", &format!("{} 0000000000000000", bare.to_note())] {
            assert_eq!(Loss::from_note(note), None, "{note}");
        }
    }

    #[test]
    fn losses_add_up_and_their_mean_is_that_of_matrices_that_were_judged() {
        let judged = |error: f64| {
            let judgement = Judgement { n_rows: [0, 0, 1], ..Judgement::default() };
            let held_out = Some(Share { error, whole: 2.0 });
            Loss { held_out, judgement: Some(judgement), ..Loss::default() }
        };
        let plain = Loss { weights: Share { error: 1.0, whole: 1.0 }, ..Loss::default() };
        let mean = mean_held_out(&[Some(judged(0.5)), None, Some(plain), Some(judged(1.5))]).unwrap();
        assert!((mean - 0.5f64.sqrt()).abs() < 1e-12);
        assert_eq!(mean_held_out(&[Some(plain)]), None);
        let mut sum = judged(0.5);
        sum.add(&judged(1.5));
        sum.add(&plain);
        assert_eq!(sum.held_out, Some(Share { error: 2.0, whole: 4.0 }));
        assert_eq!((sum.weights.whole, sum.train, sum.judgement.unwrap().n_rows[2]), (1.0, None, 2));
    }
}
