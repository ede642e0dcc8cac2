//! Floats to blocks.

use blocks::{Block, TensorType};

/// A block that can be made from floats.
pub trait Encode: Block {
    /// Makes consecutive blocks of consecutive floats. Every float is finite.
    ///
    /// # Panics
    /// If `weights` is not `out.len() * Self::LEN` long.
    fn encode(weights: &[f32], out: &mut [Self]);
}

/// Encodes floats (any whole number of blocks) as blocks of `ty`, on this thread.
///
/// # Panics
/// If the lengths do not agree, or `ty` has no encoder.
pub fn encode(_ty: TensorType, _weights: &[f32], _out: &mut [u8]) {
    todo!()
}
