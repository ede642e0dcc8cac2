//! Rotary embedding: consecutive pairs of a head's first `rope_dim` floats, turned by an angle that grows with the
//! position (Meta's interleaved layout, which GGUF's `llama` keeps).

use crate::Team;

/// Cosines and sines, computed in f64, for a range of positions.
#[derive(Debug)]
pub struct RopeTable {}

impl RopeTable {
    /// Angle of pair `i` at position `p`: `p · scale · base^(−2i / rope_dim)`, for `max_tokens` positions at a time.
    pub fn new(_rope_dim: usize, _base: f32, _scale: f32, _max_tokens: usize) -> Self {
        todo!()
    }

    /// Fills the table for positions `first .. first + n`. Allocates nothing.
    pub fn fill(&mut self, _first: usize, _n: usize) {
        todo!()
    }
}

/// Turns all heads of all rows of `x` in place; row `t` is at the table's `t`th position.
pub fn rope(_team: &Team, _x: &mut [f32], _n_heads: usize, _head_dim: usize, _table: &RopeTable) {
    todo!()
}
