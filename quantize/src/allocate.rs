//! The types that a file of a given size gets: for each matrix one of several, so that all together diverge least.
//!
//! What a matrix costs in a type is the relative squared error of its outputs there, Σ importance · (w − ŵ)² over
//! Σ importance · w², found by encoding some of its rows, times how much such an error matters. Errors are small and of no
//! common sign, so their costs add up. How much they matter is measured where there is a text (see `measure`): the model's
//! divergence while one matrix alone is spoilt. Without a text all matrices count alike.

mod errors;
mod measure;
mod solve;
#[cfg(test)]
mod tests;

use crate::mixture::{self, Tensor};
use crate::plan::fitting;
use crate::{Error, FileType, Imatrix, Monitor, Plan, Recipe};
use blocks::{TensorType, with_block};
use gguf::{File, Metadata};
use measure::Measurement;
use solve::Choice;

/// What a matrix may become where nobody says: a type for each half bit or so.
const TYPES: [TensorType; 7] = {
    use TensorType as T;
    [T::Q2K, T::Q3K, T::Iq4Xs, T::Q4K, T::Q5K, T::Q6K, T::Q8_0]
};

/// Multiples of which tensors begin at, where a file says nothing else.
const ALIGNMENT: u64 = 32;

/// A size to be met, never exceeded.
#[derive(Clone, Debug)]
pub struct Target {
    /// How large.
    pub size: Size,
    /// What matrices may become; none: a sensible set.
    pub types: Vec<TensorType>,
    /// A text on which it is measured how much each matrix matters; `None`: all count alike.
    pub text: Option<String>,
}

/// How large a file may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// The file, in bytes.
    File(u64),
    /// Its tensors, in bytes: what a model takes of the memory.
    Tensors(u64),
    /// Its tensors, in bits for each weight.
    BitsPerWeight(f64),
}

/// What was found.
pub(crate) struct Allocation {
    /// What [`Plan::of_types`] takes.
    pub(crate) types: Vec<Option<TensorType>>,
    /// The file that the target stands for, in bytes.
    pub(crate) target_bytes: u64,
    /// What most of its weights are like.
    pub(crate) file_type: FileType,
    /// The divergence that the costs add up to, in nats, where it was measured.
    pub(crate) predicted: Option<f64>,
}

/// Finds it for a file with these keys.
///
/// # Errors
/// If the smallest file is larger, the model cannot run on the text, or the user stops it.
pub(crate) fn allocate(
    input: &File,
    metadata: &Metadata,
    recipe: &Recipe,
    imatrix: Option<&Imatrix>,
    target: &Target,
    monitor: &dyn Monitor,
) -> Result<Allocation, Error> {
    let tensors: Vec<_> = input.tensors().iter().map(Tensor::from).collect();
    recipe.check_pins(&tensors)?;
    let matrices: Vec<usize> = (0..tensors.len()).filter(|&at| tensors[at].is_quantizable()).collect();
    let candidates: Vec<_> =
        matrices.iter().map(|&at| candidates(&tensors[at], recipe, target, &tensors)).collect();
    let types_of = |chosen: &[usize]| {
        let mut types = vec![None; tensors.len()];
        for ((&at, candidates), &choice) in matrices.iter().zip(&candidates).zip(chosen) {
            types[at] = Some(candidates[choice]);
        }
        types
    };

    // Candidates are sorted by size, so that the first are the smallest.
    let smallest = Plan::of_types(&tensors, &types_of(&vec![0; matrices.len()]));
    let alignment = metadata.uint("general.alignment").ok().flatten().unwrap_or(ALIGNMENT).max(1);
    let aligned = |at: usize, ty: TensorType| n_bytes(&tensors[at], ty).next_multiple_of(alignment);
    let file_bytes = gguf::total_bytes(metadata, smallest.specs());
    let all_bytes: u64 = (0..tensors.len()).map(|at| aligned(at, smallest.specs()[at].ty)).sum();
    let of_matrices: u64 = matrices.iter().zip(&candidates).map(|(&at, types)| aligned(at, types[0])).sum();
    let target_bytes = match target.size {
        Size::File(n) => n,
        Size::Tensors(n) => n.saturating_add(file_bytes - all_bytes),
        Size::BitsPerWeight(bits) => {
            ((bits / 8.0 * smallest.n_weights()) as u64).saturating_add(file_bytes - all_bytes)
        }
    };
    let Some(spare) = target_bytes.checked_sub(file_bytes) else {
        return Err(Error::TargetTooSmall {
            target_bytes,
            smallest_bytes: file_bytes,
            tensor_bytes: smallest.tensor_bytes(),
            bits_per_weight: smallest.bits_per_weight(),
        });
    };

    // Before anything that takes long.
    let measurement = match &target.text {
        Some(text) => Some(Measurement::new(input, text)?),
        None => None,
    };
    let mut errors = Vec::with_capacity(matrices.len());
    for (&at, types) in matrices.iter().zip(&candidates) {
        let importance = imatrix.and_then(|imatrix| imatrix.importance(tensors[at].name));
        errors.push(errors::relative(input, &input.tensors()[at], types, importance.as_deref())?);
        monitor.advance(0)?;
    }
    // A matrix is spoilt about as much as it will be.
    let share = target_bytes as f64 / all_bytes.max(1) as f64 * smallest.bits_per_weight();
    let probes: Vec<usize> = candidates.iter().map(|types| probe(types, share)).collect();
    let measured = match measurement {
        Some(measurement) => {
            let spoilt = |i: usize| (matrices[i], candidates[i][probes[i]], errors[i][probes[i]]);
            let spoilt: Vec<_> = (0..matrices.len()).map(spoilt).collect();
            measurement.sensitivities(input, &spoilt, imatrix, monitor)?
        }
        None => None,
    };
    let choices: Vec<Vec<Choice>> = (0..matrices.len())
        .map(|i| {
            let sensitivity = measured.as_ref().map_or(1.0, |all| all[i]);
            let choice = |(&ty, error): (&TensorType, &f64)| Choice {
                bytes: aligned(matrices[i], ty),
                cost: sensitivity * error,
            };
            candidates[i].iter().zip(&errors[i]).map(choice).collect()
        })
        .collect();
    let chosen = solve::solve(&choices, of_matrices + spare);
    let predicted = choices.iter().zip(&chosen).map(|(choices, &choice)| choices[choice].cost).sum();
    let types = types_of(&chosen);
    let file_type = nearest(&tensors, &types);
    Ok(Allocation { types, target_bytes, file_type, predicted: measured.map(|_| predicted) })
}

/// What a matrix may become, the smallest first.
fn candidates(
    tensor: &Tensor<'_>,
    recipe: &Recipe,
    target: &Target,
    tensors: &[Tensor<'_>],
) -> Vec<TensorType> {
    if let Some(pinned) = recipe.pinned(tensor, mixture::is_tied(tensors)) {
        return vec![fitting(pinned, tensor.n_cols())];
    }
    let encodes = |ty: &TensorType| with_block!(*ty, _B => true, else false);
    let given = if target.types.is_empty() { &TYPES[..] } else { &target.types };
    let mut types: Vec<_> = given.iter().map(|&ty| fitting(ty, tensor.n_cols())).filter(encodes).collect();
    types.sort_by_key(|&ty| (n_bytes(tensor, ty), ty));
    types.dedup();
    types
}

fn n_bytes(tensor: &Tensor<'_>, ty: TensorType) -> u64 {
    let n_rows: u64 = tensor.shape.iter().skip(1).product();
    ty.row_bytes(tensor.n_cols()).unwrap_or(u64::MAX / 4).saturating_mul(n_rows)
}

/// Which of a matrix's types has about so many bits for a weight.
fn probe(types: &[TensorType], bits: f64) -> usize {
    let of = |ty: TensorType| 8.0 * ty.block_bytes() as f64 / ty.block_len() as f64;
    types.iter().rposition(|&ty| of(ty) <= bits).unwrap_or(0)
}

/// The name whose matrices are what most weights are.
fn nearest(tensors: &[Tensor<'_>], types: &[Option<TensorType>]) -> FileType {
    let weights = |of: TensorType| -> u64 {
        let of_type = tensors.iter().zip(types).filter(|(_, ty)| **ty == Some(of));
        of_type.map(|(tensor, _)| tensor.shape.iter().product::<u64>()).sum()
    };
    let most = TensorType::all().max_by_key(|&ty| weights(ty)).unwrap_or(TensorType::F32);
    FileType::all().find(|name| name.matrices() == most).unwrap_or(FileType::Q4KM)
}
