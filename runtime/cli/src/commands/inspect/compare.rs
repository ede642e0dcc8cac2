//! Two files of the same model side by side: what each tensor is in either, and how far the weights of one are from those
//! of the other.
//!
//! The weights are decoded in pieces, so what is held is a piece a thread, however large the files are. A piece's sums are
//! added in the order of the pieces: the figures do not depend on the number of threads.

use crate::error::Error;
use crate::progress::{Progress, Unit};
use crate::terminal::{print, visible};
use crate::{interrupt, units};
use blocks::{TensorType, with_block};
use gguf::{File, TensorInfo};
use serde::Serialize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Weights that are decoded at once: a multiple of every block's.
const PIECE: usize = 1 << 16;

/// What two files have of each other.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    original: FileReport,
    model: FileReport,
    tensors: Vec<Pair>,
    only_in_original: Vec<String>,
    only_in_model: Vec<String>,
    /// Of all weights that were compared; `null` where there are none, or some are no finite numbers.
    relative_rmse: Option<f64>,
    n_compared: u64,
}

#[derive(Debug, Serialize)]
struct FileReport {
    path: String,
    file_bytes: u64,
    tensor_bytes: u64,
}

/// A tensor that both files have.
#[derive(Debug, Serialize)]
struct Pair {
    name: String,
    types: [&'static str; 2],
    n_bytes: [u64; 2],
    /// Root of the mean square of the differences, over that of the original's weights.
    relative_rmse: Option<f64>,
    /// Why there is no figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Sums over weights: squares of the original's, squares of the differences.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    n: u64,
    original: f64,
    difference: f64,
}

/// Bytes of blocks to weights.
type Decoder = fn(&[u8], &mut [f32]);

fn decoder(ty: TensorType) -> Option<Decoder> {
    with_block!(ty, B => Some(|bytes, out| blocks::decode(blocks::from_bytes::<B>(bytes), out)), else None)
}

/// Compares the weights of `model` with those of `original`.
pub(super) fn compare(original: &File, model: &File) -> Result<Report, Error> {
    let progress = Progress::new("comparing", Unit::Bytes);
    let both = || model.tensors().iter().filter_map(|b| Some((original.tensor(&b.name)?, b)));
    progress.set_total(both().map(|(a, b)| a.n_bytes + b.n_bytes).sum());
    let (mut tensors, mut all) = (Vec::new(), Sums::default());
    for (a, b) in both() {
        let (sums, note) = match pair(original, a, model, b)? {
            Ok(sums) => (Some(sums), None),
            Err(why) => (None, Some(why)),
        };
        all = all.and(sums.unwrap_or_default());
        let relative_rmse = sums.and_then(Sums::relative_rmse);
        let no_figure = || match sums {
            Some(sums) if sums.n > 0 && sums.original == 0.0 => "the original is all zeros",
            Some(sums) if sums.n == 0 => "it is empty",
            _ => "it has weights that are no finite numbers: see --verify",
        };
        tensors.push(Pair {
            name: b.name.clone(),
            types: [a.ty.name(), b.ty.name()],
            n_bytes: [a.n_bytes, b.n_bytes],
            note: note.or_else(|| relative_rmse.is_none().then(|| no_figure().to_owned())),
            relative_rmse,
        });
        progress.add(a.n_bytes + b.n_bytes);
    }
    Ok(Report {
        original: FileReport::new(original),
        model: FileReport::new(model),
        tensors,
        only_in_original: missing(original, model),
        only_in_model: missing(model, original),
        relative_rmse: all.relative_rmse(),
        n_compared: all.n,
    })
}

/// Names of the tensors that another file does not have.
fn missing(of: &File, other: &File) -> Vec<String> {
    let tensors = of.tensors().iter().filter(|tensor| other.tensor(&tensor.name).is_none());
    tensors.map(|tensor| tensor.name.clone()).collect()
}

/// The sums of a tensor in two files; inside, why they cannot be compared.
fn pair(
    original: &File,
    a: &TensorInfo,
    model: &File,
    b: &TensorInfo,
) -> Result<Result<Sums, String>, Error> {
    if a.shape != b.shape {
        return Ok(Err(format!("its shapes differ: {} and {}", shape(a), shape(b))));
    }
    let (decode_a, decode_b) = match (decoder(a.ty), decoder(b.ty)) {
        (Some(a), Some(b)) => (a, b),
        (Some(_), None) => return Ok(Err(format!("{} cannot be decoded", b.ty))),
        (None, _) => return Ok(Err(format!("{} cannot be decoded", a.ty))),
    };
    let (a_bytes, b_bytes) = (original.bytes(a), model.bytes(b));
    let n_weights = a.n_elements() as usize;
    let n_pieces = n_weights.div_ceil(PIECE);
    let n_threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(n_pieces);
    let next = AtomicUsize::new(0);
    let sums = Mutex::new(vec![Sums::default(); n_pieces]);
    let work = || {
        let mut weights = [vec![0.0; PIECE.min(n_weights)], vec![0.0; PIECE.min(n_weights)]];
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= n_pieces || interrupt::requested() {
                break;
            }
            let start = index * PIECE;
            let n = PIECE.min(n_weights - start);
            let [a_weights, b_weights] = weights.each_mut().map(|weights| &mut weights[..n]);
            decode_a(piece(a_bytes, a.ty, start, n), a_weights);
            decode_b(piece(b_bytes, b.ty, start, n), b_weights);
            let of_piece = Sums::new(a_weights, b_weights);
            sums.lock().unwrap_or_else(PoisonError::into_inner)[index] = of_piece;
        }
    };
    std::thread::scope(|scope| (0..n_threads).for_each(|_| drop(scope.spawn(work))));
    interrupt::check()?;
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Ok(sums.into_iter().fold(Sums::default(), Sums::and)))
}

/// The bytes of `n` weights from `start` on; both are whole blocks.
fn piece(bytes: &[u8], ty: TensorType, start: usize, n: usize) -> &[u8] {
    let n_bytes = |n_weights: usize| n_weights / ty.block_len() * ty.block_bytes();
    &bytes[n_bytes(start)..][..n_bytes(n)]
}

fn shape(tensor: &TensorInfo) -> String {
    tensor.shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" × ")
}

impl Sums {
    fn new(original: &[f32], model: &[f32]) -> Self {
        let square = |x: f64| x * x;
        let mut sums = Self { n: original.len() as u64, ..Self::default() };
        for (&a, &b) in original.iter().zip(model) {
            sums.original += square(f64::from(a));
            sums.difference += square(f64::from(b) - f64::from(a));
        }
        sums
    }

    fn and(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            original: self.original + other.original,
            difference: self.difference + other.difference,
        }
    }

    fn relative_rmse(self) -> Option<f64> {
        let same = self.n > 0 && self.difference == 0.0 && self.original.is_finite();
        let ratio = if same { 0.0 } else { self.difference / self.original };
        ratio.is_finite().then(|| ratio.sqrt())
    }
}

impl FileReport {
    fn new(file: &File) -> Self {
        Self {
            path: file.path().display().to_string(),
            file_bytes: file.n_bytes(),
            tensor_bytes: file.tensors().iter().map(|tensor| tensor.n_bytes).sum(),
        }
    }
}

impl Report {
    /// The answer as text.
    pub(super) fn print(&self) -> Result<(), Error> {
        let width = self.tensors.iter().map(|pair| visible(&pair.name).chars().count()).max().unwrap_or(0);
        print(&format!("{:<width$}  {:<18}  {:>22}  {:>13}\n", "tensor", "type", "bytes", "relative RMSE"))?;
        for pair in &self.tensors {
            print(&format!(
                "{:<width$}  {:<18}  {:>22}  {:>13}{}\n",
                visible(&pair.name),
                side_by_side(pair.types),
                side_by_side(pair.n_bytes.map(units::bytes)),
                figure(pair.relative_rmse),
                pair.note.as_ref().map(|note| format!("  {note}")).unwrap_or_default(),
            ))?;
        }
        for (names, path) in
            [(&self.only_in_original, &self.original.path), (&self.only_in_model, &self.model.path)]
        {
            for name in names {
                print(&format!("{}: only in {}\n", visible(name), visible(path)))?;
            }
        }
        print("\n")?;
        for (what, file) in [("original", &self.original), ("model", &self.model)] {
            print(&format!("{what:<10}{}, {}\n", visible(&file.path), units::bytes(file.file_bytes)))?;
        }
        print(&format!(
            "{} weights compared, relative RMSE {}\n",
            units::count(self.n_compared),
            figure(self.relative_rmse)
        ))
    }
}

fn side_by_side<T: std::fmt::Display + PartialEq>([a, b]: [T; 2]) -> String {
    if a == b { a.to_string() } else { format!("{a} → {b}") }
}

fn figure(relative_rmse: Option<f64>) -> String {
    relative_rmse.map_or_else(|| "–".to_owned(), |rmse| format!("{rmse:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_relative_to_the_original() {
        for (original, model, expected) in [
            (&[3.0f32, 4.0][..], &[3.0f32, 4.5][..], Some(0.1)),
            (&[3.0, 4.0], &[3.0, 4.0], Some(0.0)),
            (&[0.0, 0.0], &[0.0, 0.0], Some(0.0)),
            (&[0.0, 0.0], &[0.0, 1.0], None),
            (&[1.0, f32::NAN], &[1.0, 1.0], None),
            (&[1.0, f32::INFINITY], &[1.0, f32::INFINITY], None),
            (&[1.0, 1.0], &[1.0, f32::NEG_INFINITY], None),
            (&[], &[], None),
        ] {
            let found = Sums::new(original, model).relative_rmse();
            assert_eq!(found, expected, "{original:?} and {model:?}");
        }
    }

    #[test]
    fn a_piece_is_whole_blocks_of_every_type() {
        for ty in TensorType::all() {
            assert!(PIECE.is_multiple_of(ty.block_len()), "{ty}");
        }
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(piece(&bytes, TensorType::F16, 3, 2), &bytes[6..10]);
        assert_eq!(piece(&bytes, TensorType::Q8_0, 64, 32), &bytes[68..102]);
        assert_eq!(side_by_side(["F16", "Q4_0"]), "F16 → Q4_0");
        assert_eq!(side_by_side(["F32", "F32"]), "F32");
    }
}
