//! Activations, packed as the weights' type wants them. Packed once for all matrices that they meet.
//!
//! They lie as a kernel walks: in int8, 256 columns of one token after another with their scales and sums; floats, row after row.
//! Rows of tokens that lie a power of two apart would push each other out of a cache's few places for such addresses, so there is an
//! odd number of lines from one to the next.
//!
//! A quantized row is int8, −127…127 and never −128 (sixteen-bit sums of the kernels depend on it), with
//! `d = amax / 127` and `q = round_ties_even(x · (127 / amax))`. A run of zeros, or of numbers so small that the
//! division would overflow, has d = 0; a run with an infinity or a NaN has q = 0 and d = NaN, so that the result shows it.

#[cfg(test)]
mod tests;

use crate::Team;
use crate::isa::{LINE, prefetch};
use crate::unpack::Weights;
use blocks::{TensorType, with_block};
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

/// How activations are packed for weights of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Floats: float weights.
    F32,
    /// int8 with a scale and a sum per 32: for weights with a float scale per 32.
    Int8Per32,
    /// int8 with a scale per 256 and a sum per 16: for weights with a float scale per 256.
    Int8Per256,
}

impl Packing {
    /// Bytes of a token's 256 columns; `None` for floats, of which a kernel takes whole rows.
    pub(crate) fn run_bytes(self) -> Option<usize> {
        match self {
            Self::F32 => None,
            Self::Int8Per32 => Some(size_of::<Run32>()),
            Self::Int8Per256 => Some(size_of::<Run256>()),
        }
    }

    /// Bytes of a token's row.
    fn row_bytes(self, n_cols: usize) -> usize {
        match self.run_bytes() {
            Some(run_bytes) => n_cols.div_ceil(RUN) * run_bytes,
            None => row_lines(n_cols) * size_of::<Line>(),
        }
    }

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
    floats: Store<Vec<Line>>,
    per_32: Store<Vec<Run32>>,
    per_256: Store<Vec<Run256>>,
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

/// Columns of a run: as many as a kernel multiplies before it turns to the next token.
pub(crate) const RUN: usize = 256;

/// A run for weights with a scale per 32: eight blocks. What a row has not is zeros.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Run32 {
    pub(crate) q: [[i8; 32]; 8],
    pub(crate) d: [f32; 8],
    /// Σq of each block.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(dead_code, reason = "only unsigned weights have an offset to repay")
    )]
    pub(crate) sums: [i32; 8],
    /// `f32(Σq) · d`: what a block adds for each unit of the weights' minimum.
    pub(crate) s: [f32; 8],
    /// What repays 8 that were added to each weight: −8 · Σq of the first two of every four columns, and of the other two.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only AVX2 sums in 16 bits"))]
    pub(crate) offsets: [[i16; 2]; 8],
}

/// A run for weights with a scale per 256.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Run256 {
    pub(crate) q: [[i8; 16]; 16],
    pub(crate) d: f32,
    /// Σq of each 32, of each 16, and of each 8.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only x86-64 sums so in 16 bits"))]
    pub(crate) sums_of_32: [i16; 8],
    pub(crate) sums: [i16; 16],
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(dead_code, reason = "only unsigned weights have an offset to repay")
    )]
    pub(crate) sums_of_8: [i16; 32],
    /// What repays 32 that were added to each weight: −32 · Σq of the first two of every four columns of 16, and of the other two.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only AVX2 sums in 16 bits"))]
    pub(crate) offsets: [[i16; 2]; 16],
}

/// Sixteen columns for float weights.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([[f32; 8]; 2]);

/// Lines of a token's row, an odd number. What a row has not is zeros.
fn row_lines(n_cols: usize) -> usize {
    n_cols.div_ceil(16) | 1
}

/// A packing.
trait Pack: Copy + Send {
    const ZERO: Self;

    /// Packs up to [`RUN`] columns, whole blocks of them.
    fn pack(x: &[f32]) -> Self;
}

impl Pack for Run32 {
    const ZERO: Self = Self { q: [[0; 32]; 8], d: [0.0; 8], sums: [0; 8], s: [0.0; 8], offsets: [[0; 2]; 8] };

    #[inline(always)]
    fn pack(x: &[f32]) -> Self {
        let mut run = Self::ZERO;
        for (b, x) in x.as_chunks().0.iter().enumerate() {
            run.d[b] = quantize(x, &mut run.q[b]);
        }
        let pairs: [[i16; 16]; 8] = bytemuck::cast(of_twos::<128>(run.q.as_flattened()));
        for (b, pairs) in pairs.iter().enumerate() {
            let [first, second] = of_halves::<2>(&of_halves::<4>(&of_halves::<8>(pairs)));
            run.offsets[b] = [first, second].map(|sum| -8 * sum);
            run.sums[b] = i32::from(first) + i32::from(second);
            run.s[b] = run.sums[b] as f32 * run.d[b];
        }
        run
    }
}

impl Pack for Run256 {
    const ZERO: Self = Self {
        q: [[0; 16]; 16],
        sums: [0; 16],
        sums_of_8: [0; 32],
        sums_of_32: [0; 8],
        offsets: [[0; 2]; 16],
        d: 0.0,
    };

    #[inline(always)]
    fn pack(x: &[f32]) -> Self {
        let mut run = Self::ZERO;
        if let Some(x) = x.first_chunk::<RUN>() {
            run.d = quantize(x, bytemuck::cast_mut::<[[i8; 16]; 16], [i8; RUN]>(&mut run.q));
        }
        let pairs = of_twos::<128>(run.q.as_flattened());
        for (sum, &[a, b, c, d]) in run.sums_of_8.iter_mut().zip(pairs.as_chunks().0) {
            *sum = a + b + c + d;
        }
        for (sum, [low, high]) in run.sums.iter_mut().zip(run.sums_of_8.as_chunks().0) {
            *sum = low + high;
        }
        for (sum, [low, high]) in run.sums_of_32.iter_mut().zip(run.sums.as_chunks().0) {
            *sum = low + high;
        }
        for (offsets, pairs) in run.offsets.iter_mut().zip(pairs.as_chunks::<8>().0) {
            *offsets = of_halves::<2>(&of_halves::<4>(pairs)).map(|sum| -32 * sum);
        }
        run
    }
}

/// Sums of two columns, the next two, and so on.
#[inline(always)]
fn of_twos<const N: usize>(q: &[i8]) -> [i16; N] {
    let mut sums = [0; N];
    for (sum, &[a, b]) in sums.iter_mut().zip(q.as_chunks().0) {
        *sum = i16::from(a) + i16::from(b);
    }
    sums
}

/// Sums of each number of the first half with that of the second: written so that a vector does it.
#[inline(always)]
fn of_halves<const N: usize>(x: &[i16]) -> [i16; N] {
    let (low, high) = x.split_at(N);
    std::array::from_fn(|i| low[i] + high[i])
}

/// Packs rows of `n_cols` into runs: the first of each token, then the second of each.
fn pack_runs<R: Pack>(room: &mut [R], team: &Team, x: &[f32], n_cols: usize) {
    let (n_tokens, isa) = (x.len() / n_cols, team.isa());
    let runs = &mut room[..n_tokens * n_cols.div_ceil(RUN)];
    team.for_each_piece(runs, PACK_RUNS, |piece, runs| {
        isa.run(
            #[inline(always)]
            || {
                for (i, run) in runs.iter_mut().enumerate() {
                    let (at, token) =
                        ((piece * PACK_RUNS + i) / n_tokens, (piece * PACK_RUNS + i) % n_tokens);
                    let row = &x[token * n_cols..][..n_cols];
                    if let Some(next) = x.get((token + AHEAD_TOKENS) * n_cols + at * RUN..) {
                        for floats in next.chunks(LINE / size_of::<f32>()).take(RUN * size_of::<f32>() / LINE)
                        {
                            prefetch(floats.as_ptr().cast());
                        }
                    }
                    *run = R::pack(&row[at * RUN..n_cols.min((at + 1) * RUN)]);
                }
            },
        );
    });
}

/// Copies rows of `n_cols`, token after token.
fn pack_lines(room: &mut [Line], team: &Team, x: &[f32], n_cols: usize) {
    let n_lines = row_lines(n_cols);
    let rows = &mut room[..x.len() / n_cols * n_lines];
    let n_rows = (PACK_RUNS * RUN).div_ceil(n_cols);
    team.for_each_piece(rows, n_rows * n_lines, |piece, rows| {
        let x = x[piece * n_rows * n_cols..].chunks_exact(n_cols);
        for (row, x) in rows.chunks_exact_mut(n_lines).zip(x) {
            let (row, rest) = bytemuck::cast_slice_mut(row).split_at_mut(n_cols);
            row.copy_from_slice(x);
            rest.fill(0.0);
        }
    });
}

/// Runs that a thread packs at a time: below that, waking another costs more than it brings.
const PACK_RUNS: usize = 64;

/// Runs that are fetched before their turn, as they lie a row apart: of 11 008 columns of 512 tokens a float then takes 0.6 ns and not
/// 1.0, of 4096 0.5 and not 0.6 (Xeon, model 207).
const AHEAD_TOKENS: usize = 2;

/// Which activations are multiplied: consecutive tokens, and of their columns whole runs, or what a row ends with.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) tokens: Range<usize>,
    pub(crate) columns: Range<usize>,
}

/// A [`Part`] of [`Activations`], in a packing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runs<'a, R> {
    /// From the part's first column on.
    runs: &'a [R],
    n_cols: usize,
    /// All tokens that were packed, and those that these are.
    stride: usize,
    first: usize,
    n_tokens: usize,
}

/// For weights with a scale per 32.
pub(crate) type Per32<'a> = Runs<'a, Run32>;

/// For weights with a scale per 256.
pub(crate) type Per256<'a> = Runs<'a, Run256>;

impl<'a, R> Runs<'a, R> {
    fn new(runs: &'a [R], stride: usize, part: &Part) -> Self {
        let Part { tokens, columns } = part;
        debug_assert!(columns.start.is_multiple_of(RUN), "a part begins where a run does");
        let runs = &runs[columns.start / RUN * stride..];
        Self { runs, n_cols: columns.len(), stride, first: tokens.start, n_tokens: tokens.len() }
    }

    /// Columns of the part.
    #[inline(always)]
    pub(crate) fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// How many runs those are.
    #[inline(always)]
    pub(crate) fn n_runs(&self) -> usize {
        self.n_cols.div_ceil(RUN)
    }

    /// Run `run` of each token.
    #[inline(always)]
    pub(crate) fn at(&self, run: usize) -> &'a [R] {
        &self.runs[run * self.stride + self.first..][..self.n_tokens]
    }
}

/// Whole rows of consecutive tokens, for float weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floats<'a> {
    /// From the first token's row on.
    lines: &'a [Line],
    n_cols: usize,
}

impl<'a> Floats<'a> {
    /// A token's row, in eights.
    #[inline(always)]
    pub(crate) fn token(&self, token: usize) -> &'a [[f32; 8]] {
        let n_lines = row_lines(self.n_cols);
        &bytemuck::cast_slice(&self.lines[token * n_lines..][..n_lines])[..self.n_cols.div_ceil(8)]
    }

    /// All but the first `n` tokens.
    #[inline(always)]
    pub(crate) fn skip(&self, n: usize) -> Self {
        Self { lines: &self.lines[n * row_lines(self.n_cols)..], ..*self }
    }
}

impl Activations {
    /// Room for `max_tokens` rows of up to `max_cols`, in the packings that weights of `types` want.
    pub fn new(max_tokens: usize, max_cols: usize, types: &[TensorType]) -> Self {
        let wants = |packing| types.iter().any(|&ty| Packing::of(ty) == Some(packing));
        let n_runs = max_tokens * max_cols.div_ceil(RUN);
        let floats = wants(Packing::F32).then(|| vec![Line::zeroed(); max_tokens * row_lines(max_cols)]);
        let per_32 = wants(Packing::Int8Per32).then(|| vec![Run32::ZERO; n_runs]);
        let per_256 = wants(Packing::Int8Per256).then(|| vec![Run256::ZERO; n_runs]);
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
        let wanted = [Packing::F32, Packing::Int8Per32, Packing::Int8Per256]
            .into_iter()
            .filter(|&packing| types.iter().any(|&ty| Packing::of(ty) == Some(packing)));
        wanted.map(|packing| max_tokens * packing.row_bytes(max_cols)).sum()
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
                Packing::F32 => self.floats.fill(|room| pack_lines(room, team, x, n_cols)),
                Packing::Int8Per32 => self.per_32.fill(|room| pack_runs(room, team, x, n_cols)),
                Packing::Int8Per256 => self.per_256.fill(|room| pack_runs(room, team, x, n_cols)),
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

    pub(crate) fn per_32(&self, part: &Part) -> Per32<'_> {
        Runs::new(self.per_32.get(), self.n_tokens, part)
    }

    pub(crate) fn per_256(&self, part: &Part) -> Per256<'_> {
        Runs::new(self.per_256.get(), self.n_tokens, part)
    }

    pub(crate) fn floats(&self, part: &Part) -> Floats<'_> {
        let Part { tokens, columns } = part;
        debug_assert_eq!(*columns, 0..self.n_cols, "floats are multiplied by whole rows");
        let n_lines = row_lines(self.n_cols);
        Floats {
            lines: &self.floats.get()[tokens.start * n_lines..tokens.end * n_lines],
            n_cols: self.n_cols,
        }
    }
}

/// Below this the scale's reciprocal overflows: such numbers are zeros.
const MIN_AMAX: f32 = f32::MIN_POSITIVE * 1024.0;

/// 1.5 · 2²³: adding it to a number below 2²² leaves the number, rounded to nearest even, in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Writes integers and returns their scale.
#[inline(always)]
fn quantize<const N: usize>(x: &[f32; N], q: &mut [i8; N]) -> f32 {
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
