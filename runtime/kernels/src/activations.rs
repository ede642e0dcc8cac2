//! Activations, packed as the weights' type wants them. Packed once for all matrices that they meet.

use crate::Team;
use blocks::TensorType;

/// How activations are packed for weights of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As they are: float weights.
    F32,
    /// int8 with a scale and a sum per 32: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
    Int8Per32,
    /// int8 with a scale per 256 and a sum per 16: Q6_K.
    Int8Per256,
}

impl Packing {
    /// What weights of this type want; `None` if there are no kernels for it.
    pub fn of(_ty: TensorType) -> Option<Self> {
        todo!()
    }
}

/// Rows of activations, one a token, in each packing that was asked for.
#[derive(Debug)]
pub struct Activations {}

impl Activations {
    /// Room for `max_tokens` rows of up to `max_cols`, in the packings that weights of `types` want.
    pub fn new(_max_tokens: usize, _max_cols: usize, _types: &[TensorType]) -> Self {
        todo!()
    }

    /// Bytes that [`new`](Self::new) would allocate, for the memory plan.
    pub fn n_bytes(_max_tokens: usize, _max_cols: usize, _types: &[TensorType]) -> usize {
        todo!()
    }

    /// Packs `x`, rows of `n_cols` (one a token), for products with weights of `types`. Replaces what was there.
    ///
    /// # Panics
    /// If there is no room, or a type was not announced to [`new`](Self::new).
    pub fn pack(&mut self, _team: &Team, _x: &[f32], _n_cols: usize, _types: &[TensorType]) {
        todo!()
    }

    /// Rows that are packed.
    pub fn n_tokens(&self) -> usize {
        todo!()
    }
}
