//! What a file will be, computed from the header alone: the type of each tensor, its bytes, and what there is to say of
//! them.

use crate::mixture::Tensor;
use crate::{Architecture, Error, Recipe};
use blocks::{TensorType, with_block};
use gguf::TensorSpec;

/// What becomes of each tensor, in the input's order.
#[derive(Clone, Debug)]
pub struct Plan {
    specs: Vec<TensorSpec>,
    notes: Vec<String>,
}

impl Plan {
    /// What `recipe` makes of a model.
    ///
    /// # Errors
    /// If a pin fits no matrix.
    pub fn new(
        recipe: &Recipe,
        model: &Architecture,
        has_imatrix: bool,
        tensors: &[Tensor<'_>],
    ) -> Result<Self, Error> {
        Ok(Self::of_types(tensors, &recipe.types(model, has_imatrix, tensors)?))
    }

    /// The same from the types that matrices would get if rows were of any length; none for what is no matrix.
    pub(crate) fn of_types(tensors: &[Tensor<'_>], wanted: &[Option<TensorType>]) -> Self {
        let mut misfits = Vec::new();
        let mut specs = Vec::with_capacity(tensors.len());
        for (tensor, &wanted) in tensors.iter().zip(wanted) {
            let ty = match wanted {
                Some(wanted) => fitting(wanted, tensor.n_cols()),
                // Tables of integers and the like are no weights: nothing to do with the file's type.
                None => with_block!(tensor.ty, _B => TensorType::F32, else tensor.ty),
            };
            if let Some(wanted) = wanted.filter(|&wanted| ty != wanted && ty != tensor.ty) {
                misfits.push(Misfit { name: tensor.name, n_cols: tensor.n_cols(), wanted, ty });
            }
            specs.push(TensorSpec { name: tensor.name.to_owned(), shape: tensor.shape.to_vec(), ty });
        }
        Self { specs, notes: notes(&misfits) }
    }

    /// Whether each of the tensors, those that the plan was made of, can become what it shall.
    ///
    /// # Errors
    /// A sentence about the first that cannot, because llamita cannot read or write its type, or because it is quantized
    /// already and that is not allowed.
    pub fn check(&self, tensors: &[Tensor<'_>], allow_requantize: bool) -> Result<(), Error> {
        let changed = tensors.iter().zip(&self.specs).filter(|(tensor, spec)| tensor.ty != spec.ty);
        for (&Tensor { name, ty: from, .. }, &TensorSpec { ty: to, .. }) in changed {
            let tensor = name.to_owned();
            if with_block!(from, _B => false, else true) {
                return Err(Error::NoDecoder { tensor, ty: from });
            }
            if with_block!(to, _B => false, else true) {
                return Err(Error::NoEncoder { tensor, ty: to });
            }
            if from.is_quantized() && !allow_requantize {
                return Err(Error::Requantize { tensor, from, to });
            }
        }
        Ok(())
    }

    /// The tensors of the output.
    pub fn specs(&self) -> &[TensorSpec] {
        &self.specs
    }

    /// Sentences for the user: tensors that get another type than the recipe says, because their rows are no whole number
    /// of blocks.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Bytes of all tensors, without what lies between them.
    pub fn tensor_bytes(&self) -> u64 {
        self.specs.iter().filter_map(TensorSpec::n_bytes).fold(0, u64::saturating_add)
    }

    /// Weights of all tensors.
    pub(crate) fn n_weights(&self) -> f64 {
        self.specs.iter().map(|spec| spec.shape.iter().map(|&n| n as f64).product::<f64>()).sum()
    }

    /// Bits that a weight takes in the mean, vectors counted too.
    pub fn bits_per_weight(&self) -> f64 {
        8.0 * self.tensor_bytes() as f64 / self.n_weights().max(1.0)
    }
}

/// The type that a matrix with rows of `n_cols` weights gets where it should be `wanted`: another one of about so many
/// bits, with shorter blocks, if that is what fits; else F16.
pub(crate) fn fitting(wanted: TensorType, n_cols: u64) -> TensorType {
    use TensorType as T;
    let stand_in = match wanted {
        T::Q6K => T::Q8_0,
        T::Q5K => T::Q5_1,
        T::Q4K => T::Q5_0,
        T::Q3K | T::Q2K | T::Tq2_0 | T::Tq1_0 => T::Q4_0,
        T::Iq4Xs => T::Iq4Nl,
        ty => ty,
    };
    [wanted, stand_in].into_iter().find(|ty| ty.row_bytes(n_cols).is_some()).unwrap_or(T::F16)
}

struct Misfit<'a> {
    name: &'a str,
    n_cols: u64,
    wanted: TensorType,
    ty: TensorType,
}

/// A sentence for all tensors with the same reason.
fn notes(misfits: &[Misfit<'_>]) -> Vec<String> {
    let reason = |misfit: &Misfit<'_>| (misfit.wanted, misfit.ty, misfit.n_cols);
    let mut notes = Vec::new();
    for (at, misfit) in misfits.iter().enumerate() {
        if misfits[..at].iter().any(|earlier| reason(earlier) == reason(misfit)) {
            continue;
        }
        let &Misfit { name, n_cols, wanted, ty } = misfit;
        let n_more = misfits[at + 1..].iter().filter(|later| reason(later) == reason(misfit)).count();
        let (all, verb, their) = match n_more {
            0 => (format!("`{name}`"), "becomes", "its"),
            n => (format!("`{name}` and {n} more"), "become", "their"),
        };
        notes.push(format!(
            "{all} {verb} {ty}: {their} rows of {n_cols} weights are no whole number of {wanted}'s blocks of {}",
            wanted.block_len()
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileType;

    fn plan(recipe: &Recipe, tensors: &[(&str, &[u64])]) -> Result<Plan, Error> {
        let tensor = |&(name, shape)| Tensor { name, shape, ty: TensorType::F16 };
        Plan::new(recipe, &Architecture::default(), false, &tensors.iter().map(tensor).collect::<Vec<_>>())
    }

    #[test]
    fn rows_that_are_no_whole_blocks_get_what_fits_and_are_told_together() {
        let tensors: [(&str, &[u64]); 6] = [
            ("a.weight", &[64, 2]),
            ("b.weight", &[100, 2]),
            ("c.weight", &[100, 9]),
            ("d_norm.weight", &[100]),
            ("output.weight", &[288, 2]),
            ("table", &[7, 7]),
        ];
        let plan = plan(&FileType::Q4_0.into(), &tensors).unwrap();
        use TensorType as T;
        assert!(plan.specs().iter().map(|spec| spec.ty).eq([
            T::Q4_0,
            T::F16,
            T::F16,
            T::F32,
            T::Q8_0,
            T::F32
        ]));
        assert_eq!(
            plan.notes(),
            [
                "`output.weight` becomes Q8_0: its rows of 288 weights are no whole number of Q6_K's blocks of 256"
            ]
        );
        assert_eq!(plan.tensor_bytes(), 2 * 36 + 11 * 200 + 400 + 2 * 306 + 196);
        let from_f32 = Tensor { name: "b.weight", shape: &[100, 2], ty: TensorType::F32 };
        let more = Tensor { name: "c.weight", ..from_f32 };
        let plan =
            Plan::new(&FileType::Q4_0.into(), &Architecture::default(), false, &[from_f32, more]).unwrap();
        assert_eq!(
            plan.notes(),
            [
                "`b.weight` and 1 more become F16: their rows of 100 weights are no whole number of Q4_0's blocks of 32"
            ]
        );
    }

    #[test]
    fn every_type_that_fits_no_row_has_a_stand_in() {
        for ty in TensorType::all().filter(|&ty| with_block!(ty, _B => true, else false)) {
            assert_eq!(fitting(ty, 256), ty);
            assert_eq!(fitting(ty, 288).block_len(), ty.block_len().min(32), "{ty}");
            assert_eq!(fitting(ty, 17), if ty.is_quantized() { TensorType::F16 } else { ty });
        }
    }

    #[test]
    fn what_is_asked_for_by_name_goes_before_the_mixture() {
        let tensors: [(&str, &[u64]); 4] = [
            ("token_embd.weight", &[256, 9]),
            ("blk.0.attn_q.weight", &[256, 9]),
            ("blk.0.attn_norm.weight", &[256]),
            ("output.weight", &[256, 9]),
        ];
        use TensorType as T;
        let base = || Recipe::from(FileType::Q4_0);
        let pins = |pins: &[&str]| pins.iter().map(|pin| pin.parse().unwrap()).collect();
        for (recipe, expected) in [
            (base(), [T::Q4_0, T::Q4_0, T::Q6K]),
            (Recipe { pure: true, ..base() }, [T::Q4_0, T::Q4_0, T::Q4_0]),
            (Recipe { leave_output: true, ..base() }, [T::Q4_0, T::Q4_0, T::F16]),
            (Recipe { output_type: Some(T::Q8_0), pure: true, ..base() }, [T::Q4_0, T::Q4_0, T::Q8_0]),
            (Recipe { token_embedding_type: Some(T::Q5_1), ..base() }, [T::Q5_1, T::Q4_0, T::Q6K]),
            (Recipe { pins: pins(&["attn_.=q8_0", "weight=q5_0"]), ..base() }, [T::Q5_0, T::Q8_0, T::Q5_0]),
        ] {
            let plan = plan(&recipe, &tensors).unwrap();
            let types = [0, 1, 3].map(|i| plan.specs()[i].ty);
            assert_eq!((types, plan.specs()[2].ty), (expected, T::F32), "{recipe:?}");
        }
        let tied = plan(&Recipe { leave_output: true, ..base() }, &tensors[..2]).unwrap();
        assert!(tied.specs().iter().map(|spec| spec.ty).eq([T::F16, T::Q4_0]));
        let error = plan(&Recipe { pins: pins(&["norm=q8_0"]), ..base() }, &tensors).unwrap_err();
        assert!(error.to_string().contains("`norm=q8_0` fits no matrix"), "{error}");
    }
}
