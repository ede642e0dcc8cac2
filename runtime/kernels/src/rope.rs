//! Rotary embedding: consecutive pairs of a head's first `rope_dim` floats, turned by an angle that grows with the
//! position (Meta's interleaved layout, which GGUF's `llama` keeps).

#![forbid(unsafe_code)]

mod angle;

use crate::Team;

/// Floats that a thread turns at a time.
const CHUNK: usize = 16 * 1024;

/// Cosines and sines, computed in f64, for a range of positions.
#[derive(Debug)]
pub struct RopeTable {
    /// Angle of each pair at position 1, in radians.
    frequencies: Vec<f64>,
    /// Per position a (cosine, sine) for each pair.
    turns: Vec<[f32; 2]>,
    n_positions: usize,
}

impl RopeTable {
    /// Angle of pair `i` at position `p`: `p · scale · base^(−2i / rope_dim)`, for `max_tokens` positions at a time.
    ///
    /// # Panics
    /// If `rope_dim` is odd.
    pub fn new(rope_dim: usize, base: f32, scale: f32, max_tokens: usize) -> Self {
        assert!(rope_dim.is_multiple_of(2), "a rotation of {rope_dim} floats: they go in pairs");
        let log_base = angle::ln(f64::from(base));
        let frequency = |i| f64::from(scale) * angle::exp(-log_base * (2 * i) as f64 / rope_dim as f64);
        let frequencies: Vec<f64> = (0..rope_dim / 2).map(frequency).collect();
        let turns = vec![[1.0, 0.0]; max_tokens * frequencies.len()];
        Self { frequencies, turns, n_positions: 0 }
    }

    /// With a divisor for the frequency of each pair, as Llama 3.1 has them to stretch its slow turns over a longer context.
    ///
    /// # Panics
    /// If the factors are not as many as the pairs.
    #[must_use]
    pub fn with_factors(mut self, factors: &[f32]) -> Self {
        let n_pairs = self.frequencies.len();
        assert_eq!(factors.len(), n_pairs, "a factor for each of {n_pairs} pairs");
        for (frequency, &factor) in self.frequencies.iter_mut().zip(factors) {
            *frequency /= f64::from(factor);
        }
        self
    }

    /// Fills the table for positions `first .. first + n`. Allocates nothing.
    ///
    /// # Panics
    /// If `n` is more than the table was made for.
    pub fn fill(&mut self, first: usize, n: usize) {
        let n_pairs = self.frequencies.len();
        assert!(
            n * n_pairs <= self.turns.len(),
            "{n} positions in a table of {}",
            self.turns.len() / n_pairs.max(1)
        );
        for (t, turns) in self.turns.chunks_exact_mut(n_pairs.max(1)).take(n).enumerate() {
            for (turn, frequency) in turns.iter_mut().zip(&self.frequencies) {
                let (sin, cos) = angle::sin_cos((first + t) as f64 * frequency);
                *turn = [cos as f32, sin as f32];
            }
        }
        self.n_positions = n;
    }
}

/// Turns all heads of all rows of `x` in place; row `t` is at the table's `t`th position.
///
/// # Panics
/// If `x` is not whole rows, or the table is filled for fewer, or a head is narrower than what is turned.
pub fn rope(team: &Team, x: &mut [f32], n_heads: usize, head_dim: usize, table: &RopeTable) {
    let (n_cols, n_pairs, isa) = (n_heads * head_dim, table.frequencies.len(), team.isa());
    assert_eq!(x.len().checked_rem(n_cols), Some(0), "rows of {n_heads} heads of {head_dim}");
    assert!(x.len() / n_cols <= table.n_positions, "more rows than the table's {}", table.n_positions);
    assert!(2 * n_pairs <= head_dim, "heads of {head_dim}, of which {} are to be turned", 2 * n_pairs);
    let rows_a_chunk = (CHUNK / n_cols).max(1);
    team.for_each_piece(x, rows_a_chunk * n_cols, |i, rows| {
        isa.run(
            #[inline(always)]
            || {
                for (t, row) in rows.chunks_exact_mut(n_cols).enumerate() {
                    let turns = &table.turns[(i * rows_a_chunk + t) * n_pairs..][..n_pairs];
                    for head in row.chunks_exact_mut(head_dim) {
                        for ([a, b], [cos, sin]) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                            let (x, y) = (*a, *b);
                            *a = (-y).mul_add(*sin, x * cos);
                            *b = x.mul_add(*sin, y * cos);
                        }
                    }
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    #[test]
    fn every_head_is_turned_by_the_angle_of_its_position() {
        let (n_heads, head_dim, rope_dim, first, n) = (3, 10, 8, 1000, 4);
        let factors = [1.0f32, 1.5, 8.0, 32.0];
        for isa in Isa::available() {
            let team = Team::new(2, isa).unwrap();
            let mut table = RopeTable::new(rope_dim, 10_000.0, 0.5, n).with_factors(&factors);
            table.fill(first, n);
            let old: Vec<f32> =
                (0..n * n_heads * head_dim).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
            let mut new = old.clone();
            rope(&team, &mut new, n_heads, head_dim, &table);
            for (i, pair) in new.chunks(2).enumerate() {
                let (token, k) = (i * 2 / (n_heads * head_dim), i % (head_dim / 2));
                let (x, y) = (f64::from(old[2 * i]), f64::from(old[2 * i + 1]));
                let frequency = 0.5 * 10_000f64.powf(-2.0 * k as f64 / rope_dim as f64);
                let angle = |&factor: &f32| (first + token) as f64 * frequency / f64::from(factor);
                let (sin, cos) = factors.get(k).map_or((0.0, 1.0), |factor| angle(factor).sin_cos());
                for (got, exact) in pair.iter().zip([x * cos - y * sin, x * sin + y * cos]) {
                    assert!((f64::from(*got) - exact).abs() < 3e-7, "{isa} pair {i}: {got} for {exact}");
                }
            }
        }
    }
}
