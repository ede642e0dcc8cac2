//! Activations, packed as the weights' type wants them. Packed once for all matrices that they meet.
//!
//! A quantized row is int8, −127…127 and never −128 (sixteen-bit sums of the kernels depend on it), with
//! `d = amax / 127` and `q = round_ties_even(x · (127 / amax))`. A run of zeros, or of numbers so small that the
//! division would overflow, has d = 0; a run with an infinity or a NaN has q = 0 and d = NaN, so that the result shows it.

#[cfg(test)]
mod tests;

use crate::Team;
use crate::team::SharedSlice;
use crate::unpack::Weights;
use blocks::{TensorType, with_block};
use std::ops::Range;

/// How activations are packed for weights of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As they are: float weights.
    F32,
    /// int8 with a scale and a sum per 32: for weights with a float scale per 32.
    Int8Per32,
    /// int8 with a scale per 256 and a sum per 16: for weights with a float scale per 256.
    Int8Per256,
}

impl Packing {
    /// What weights of this type want; `None` if there are no kernels for it.
    pub fn of(ty: TensorType) -> Option<Self> {
        with_block!(ty, B => Some(<B as Weights>::PACKING), else None)
    }
}

/// Rows of activations, one a token, in each packing that was asked for.
#[derive(Debug)]
pub struct Activations {
    max_tokens: usize,
    max_cols: usize,
    n_tokens: usize,
    n_cols: usize,
    floats: Store<Vec<f32>>,
    per_32: Store<Int8<Sum, 32>>,
    per_256: Store<Int8<[i16; 16], 256>>,
}

/// A packing's room, and whether it holds the rows of the last call of `pack`.
#[derive(Debug, Default)]
struct Store<T> {
    room: Option<T>,
    packed: bool,
}

impl<T> Store<T> {
    /// Fills the room, unless an earlier type of the same call has.
    fn fill(&mut self, fill: impl FnOnce(&mut T)) {
        if !self.packed {
            fill(self.room.as_mut().expect("a type of weights that was not announced to Activations::new"));
            self.packed = true;
        }
    }

    fn get(&self) -> &T {
        assert!(self.packed, "activations that were not packed for this type of weights");
        self.room.as_ref().expect("packed into it")
    }
}

/// Rows of int8 in runs of `RUN`, each with a scale and the sums that its packing keeps.
#[derive(Debug)]
struct Int8<S, const RUN: usize> {
    q: Vec<[i8; RUN]>,
    d: Vec<f32>,
    sums: Vec<S>,
}

/// The sum of a run of 32.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    /// Σq.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(dead_code, reason = "only unsigned weights have an offset to repay")
    )]
    pub(crate) q: i32,
    /// `f32(Σq) · d`: what the run adds for each unit of the weights' minimum.
    pub(crate) s: f32,
}

impl<S: Clone + Default + Send, const RUN: usize> Int8<S, RUN> {
    fn new(max_tokens: usize, max_cols: usize) -> Self {
        let n_runs = max_tokens * max_cols.div_ceil(RUN);
        Self { q: vec![[0; RUN]; n_runs], d: vec![0.0; n_runs], sums: vec![S::default(); n_runs] }
    }

    fn n_bytes(max_tokens: usize, max_cols: usize) -> usize {
        max_tokens * max_cols.div_ceil(RUN) * (RUN + size_of::<f32>() + size_of::<S>())
    }

    /// Quantizes rows; as a row is whole runs, all runs are one sequence. `sums(q, d)` gives what is kept of a run.
    fn pack(&mut self, team: &Team, x: &[f32], sums: impl Fn(&[i8; RUN], f32) -> S + Sync) {
        let (x, isa) = (x.as_chunks::<RUN>().0, team.isa());
        let (q_out, d_out) = (SharedSlice::new(&mut self.q), SharedSlice::new(&mut self.d));
        let sums_out = SharedSlice::new(&mut self.sums);
        team.for_each(x.len(), PACK_FLOATS / RUN, |runs| {
            // SAFETY: for_each hands out every run once.
            let (q, d, s) = unsafe {
                (q_out.slice(runs.clone()), d_out.slice(runs.clone()), sums_out.slice(runs.clone()))
            };
            isa.run(
                #[inline(always)]
                || {
                    for (((x, q), d), s) in x[runs].iter().zip(q).zip(d).zip(s) {
                        *d = quantize(x, q);
                        *s = sums(q, *d);
                    }
                },
            );
        });
    }
}

/// Floats that a thread packs at a time: below that, waking another costs more than it brings.
const PACK_FLOATS: usize = 16 * 1024;

/// Consecutive tokens of [`Activations`], in the packing for weights with a scale per 32.
/// Token `t`'s run `b` is at `t * n_runs + b`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Per32<'a> {
    pub(crate) n_runs: usize,
    pub(crate) q: &'a [[i8; 32]],
    pub(crate) d: &'a [f32],
    pub(crate) sums: &'a [Sum],
}

/// Likewise for weights with a scale per 256; `sums` are those of each 16.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Per256<'a> {
    pub(crate) n_runs: usize,
    pub(crate) q: &'a [[i8; 256]],
    pub(crate) d: &'a [f32],
    pub(crate) sums: &'a [[i16; 16]],
}

/// Likewise for float weights: token `t`'s floats are at `t * n_cols`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floats<'a> {
    pub(crate) n_cols: usize,
    pub(crate) x: &'a [f32],
}

impl Activations {
    /// Room for `max_tokens` rows of up to `max_cols`, in the packings that weights of `types` want.
    pub fn new(max_tokens: usize, max_cols: usize, types: &[TensorType]) -> Self {
        let wants = |packing| types.iter().any(|&ty| Packing::of(ty) == Some(packing));
        let floats = wants(Packing::F32).then(|| vec![0.0; max_tokens * max_cols]);
        let per_32 = wants(Packing::Int8Per32).then(|| Int8::new(max_tokens, max_cols));
        let per_256 = wants(Packing::Int8Per256).then(|| Int8::new(max_tokens, max_cols));
        Self {
            max_tokens,
            max_cols,
            n_tokens: 0,
            n_cols: 0,
            floats: Store { room: floats, packed: false },
            per_32: Store { room: per_32, packed: false },
            per_256: Store { room: per_256, packed: false },
        }
    }

    /// Bytes that [`new`](Self::new) would allocate, for the memory plan.
    pub fn n_bytes(max_tokens: usize, max_cols: usize, types: &[TensorType]) -> usize {
        let of = |packing, n_bytes| {
            if types.iter().any(|&ty| Packing::of(ty) == Some(packing)) { n_bytes } else { 0 }
        };
        of(Packing::F32, max_tokens * max_cols * size_of::<f32>())
            + of(Packing::Int8Per32, Int8::<Sum, 32>::n_bytes(max_tokens, max_cols))
            + of(Packing::Int8Per256, Int8::<[i16; 16], 256>::n_bytes(max_tokens, max_cols))
    }

    /// Packs `x`, rows of `n_cols` (one a token), for products with weights of `types`. Replaces what was there.
    ///
    /// # Panics
    /// If there is no room, or a type was not announced to [`new`](Self::new), or `n_cols` is no whole number of its
    /// blocks.
    pub fn pack(&mut self, team: &Team, x: &[f32], n_cols: usize, types: &[TensorType]) {
        let n_tokens = x.len().checked_div(n_cols).unwrap_or(0);
        assert_eq!(x.len(), n_tokens * n_cols, "rows of {n_cols} floats");
        assert!(
            n_tokens <= self.max_tokens && n_cols <= self.max_cols,
            "{n_tokens} rows of {n_cols} in room for {} of {}",
            self.max_tokens,
            self.max_cols
        );
        (self.n_tokens, self.n_cols) = (n_tokens, n_cols);
        (self.floats.packed, self.per_32.packed, self.per_256.packed) = (false, false, false);
        for &ty in types {
            assert!(n_cols.is_multiple_of(ty.block_len()), "rows of {n_cols} for weights of type {ty}");
            match Packing::of(ty).unwrap_or_else(|| panic!("there are no kernels for {ty}")) {
                Packing::F32 => self.floats.fill(|room| room[..x.len()].copy_from_slice(x)),
                Packing::Int8Per32 => self.per_32.fill(|room| room.pack(team, x, sum_of_32)),
                Packing::Int8Per256 => self.per_256.fill(|room| room.pack(team, x, sums_of_16)),
            }
        }
    }

    /// Rows that are packed.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Floats of a row that is packed.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    pub(crate) fn per_32(&self, tokens: Range<usize>) -> Per32<'_> {
        let (store, n_runs) = (self.per_32.get(), self.n_cols / 32);
        let runs = tokens.start * n_runs..tokens.end * n_runs;
        Per32 { n_runs, q: &store.q[runs.clone()], d: &store.d[runs.clone()], sums: &store.sums[runs] }
    }

    pub(crate) fn per_256(&self, tokens: Range<usize>) -> Per256<'_> {
        let (store, n_runs) = (self.per_256.get(), self.n_cols / 256);
        let runs = tokens.start * n_runs..tokens.end * n_runs;
        Per256 { n_runs, q: &store.q[runs.clone()], d: &store.d[runs.clone()], sums: &store.sums[runs] }
    }

    pub(crate) fn floats(&self, tokens: Range<usize>) -> Floats<'_> {
        let n_cols = self.n_cols;
        Floats { n_cols, x: &self.floats.get()[tokens.start * n_cols..tokens.end * n_cols] }
    }
}

/// Below this the scale's reciprocal overflows: such numbers are zeros.
const MIN_AMAX: f32 = f32::MIN_POSITIVE * 1024.0;

/// 1.5 · 2²³: adding it to a number below 2²² leaves the number, rounded to nearest even, in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Writes a run's integers and returns its scale.
#[inline(always)]
fn quantize<const RUN: usize>(x: &[f32; RUN], q: &mut [i8; RUN]) -> f32 {
    // Bit patterns of magnitudes are ordered as the numbers are, and NaNs lie above all: one integer maximum sees both.
    let amax = f32::from_bits(x.iter().fold(0, |max, x| max.max(x.abs().to_bits())));
    if !amax.is_finite() {
        q.fill(0);
        return f32::NAN;
    }
    if amax < MIN_AMAX {
        q.fill(0);
        return 0.0;
    }
    let inverse = 127.0 / amax;
    for (q, &x) in q.iter_mut().zip(x) {
        *q = (x * inverse + ROUND).to_bits() as i8;
    }
    amax / 127.0
}

#[inline(always)]
fn sum_of_32(q: &[i8; 32], d: f32) -> Sum {
    let sum = q.iter().map(|&q| i32::from(q)).sum();
    Sum { q: sum, s: sum as f32 * d }
}

#[inline(always)]
fn sums_of_16(q: &[i8; 256], _d: f32) -> [i16; 16] {
    let mut sums = [0; 16];
    for (sum, q) in sums.iter_mut().zip(q.as_chunks::<16>().0) {
        *sum = q.iter().map(|&q| i16::from(q)).sum();
    }
    sums
}
