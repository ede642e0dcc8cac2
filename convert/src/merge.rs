//! One tensor out of the parts that the shards have of it.
//!
//! Nothing is joined in memory: a row of the whole is a row of one shard, or a piece of a row from each, and is decoded
//! from there when it is its turn.

use crate::Error;
use crate::names::{Axis, Kind, Layout};
use crate::params::Params;
use crate::tensors::{Tensors, View};
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

/// A whole tensor.
#[derive(Debug)]
pub(crate) struct Merged<'a> {
    parts: Vec<View<'a>>,
    /// Rows or Cols.
    axis: Axis,
    /// `None`: a vector.
    n_rows: Option<u64>,
    n_cols: u64,
    /// The length of a head whose rows lie in Hugging Face's order.
    halves_of: Option<usize>,
}

impl<'a> Merged<'a> {
    /// The tensor called `name` in every shard. All shards have the same shape and type of it.
    pub(crate) fn new(
        shards: &[Box<dyn Tensors<'a> + 'a>],
        kind: &Kind,
        name: &str,
        n_cols: u64,
        params: &Params,
    ) -> Result<Self, Error> {
        let fault = |part: &View<'_>, problem: String| {
            Error::malformed(part.path(), format_args!("tensor `{name}`"), problem)
        };
        let mut parts = Vec::with_capacity(shards.len());
        for shard in shards {
            let part = shard.view(name)?;
            let first = parts.first().unwrap_or(&part);
            if (first.shape(), first.ty()) != (part.shape(), part.ty()) {
                let problem = format!(
                    "it is {} {:?} here and {} {:?} in {}; shards of one checkpoint agree: one of the files is of \
                     another model",
                    part.ty(),
                    part.shape(),
                    first.ty(),
                    first.shape(),
                    first.path().display()
                );
                return Err(fault(&part, problem));
            }
            if part.n_rows().is_some() != kind.rows.is_some() {
                let dimensions = if kind.rows.is_some() { "two dimensions" } else { "one dimension" };
                return Err(fault(
                    &part,
                    format!("its shape is {:?}; it should have {dimensions}", part.shape()),
                ));
            }
            parts.push(part);
        }
        let n = parts.len() as u64;
        let (part_rows, part_cols) = (parts[0].n_rows().map(|rows| rows as u64), parts[0].n_cols() as u64);
        let axis = match kind.axis {
            Axis::Either if part_cols == n_cols => Axis::Rows,
            Axis::Either => Axis::Cols,
            axis => axis,
        };
        // Every part has its numbers in a file: no product of these overflows.
        let (n_rows, n_cols) = match axis {
            Axis::Cols => (part_rows, part_cols * n),
            Axis::Copy => {
                parts.truncate(1);
                (part_rows, part_cols)
            }
            _ => (part_rows.map(|rows| rows * n), part_cols),
        };
        let is_in_halves = kind.is_turned && params.layout == Layout::HuggingFace;
        let halves_of = is_in_halves.then_some(params.head_dim as usize);
        Ok(Self { parts, axis, n_rows, n_cols, halves_of })
    }

    /// Compares with what the hyperparameters ask for.
    pub(crate) fn expect(&self, n_rows: Option<u64>, n_cols: u64, params: &Params) -> Result<(), String> {
        if (self.n_rows, self.n_cols) == (n_rows, n_cols) {
            return Ok(());
        }
        let shape = |rows: Option<u64>, cols: u64| rows.into_iter().chain([cols]).collect::<Vec<_>>();
        let (n, part) = (self.parts.len() as u64, self.parts[0].shape());
        let mut problem = format!("its shape is {part:?}");
        if n > 1 {
            let whole = shape(self.n_rows, self.n_cols);
            write!(problem, " in each of {n} files, {whole:?} in all").expect("a string takes it");
        }
        let file = params.file_name();
        write!(problem, "; {file} asks for {:?}", shape(n_rows, n_cols)).expect("a string takes it");
        // Is it that files are missing? Then the split length comes out at some higher count.
        let (found, asked) = match self.axis {
            Axis::Cols => (self.n_cols, n_cols),
            _ => (self.n_rows.unwrap_or(self.n_cols), n_rows.unwrap_or(n_cols)),
        };
        let n_asked = asked / (found / n);
        let is_split = params.layout == Layout::Meta && self.axis != Axis::Copy;
        if is_split && asked % (found / n) == 0 && n_asked > n && n_asked <= 64 {
            write!(
                problem,
                ". That takes {n_asked} files: are consolidated.{n:02}.pth and following missing?"
            )
            .expect("a string takes it");
        }
        Err(problem)
    }

    /// Whether every number of another tensor is the same, to the bit. Two matrices that differ do so in their first row.
    pub(crate) fn has_the_numbers_of(&self, other: &Self) -> bool {
        if (self.shape(), self.ty()) != (other.shape(), other.ty()) {
            return false;
        }
        let mut rows = [vec![0.0f32; self.n_cols as usize], vec![0.0f32; self.n_cols as usize]];
        (0..self.n_rows()).all(|row| {
            let [ours, theirs] = &mut rows;
            self.decode(row..row + 1, ours);
            other.decode(row..row + 1, theirs);
            ours.iter().zip(theirs).all(|(a, b)| a.to_bits() == b.to_bits())
        })
    }

    /// GGUF's order: a row's length first.
    pub(crate) fn shape(&self) -> Vec<u64> {
        [self.n_cols].into_iter().chain(self.n_rows).collect()
    }

    /// Rows; a vector is one.
    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows.unwrap_or(1)
    }

    /// Weights in a row.
    pub(crate) fn n_cols(&self) -> u64 {
        self.n_cols
    }

    /// The file that a weight is in.
    pub(crate) fn path_of(&self, row: u64, col: usize) -> &'a Path {
        let part = match self.axis {
            Axis::Cols => col / self.parts[0].n_cols(),
            _ => row as usize / self.parts[0].n_rows().unwrap_or(1),
        };
        self.parts[part].path()
    }

    /// The checkpoint's row for one of the output's.
    ///
    /// A pair of rows that the rotary embedding turns lies side by side in a GGUF. Hugging Face puts the first rows of
    /// all pairs of a head into its first half, and the second ones into its second.
    pub(crate) fn source_row(&self, row: usize) -> usize {
        match self.halves_of {
            None => row,
            Some(head_dim) => {
                let (head, row) = (row / head_dim, row % head_dim);
                head * head_dim + row % 2 * (head_dim / 2) + row / 2
            }
        }
    }

    /// Bytes that one row takes in the checkpoint.
    pub(crate) fn row_bytes(&self) -> u64 {
        self.n_cols * self.parts[0].ty().block_bytes() as u64
    }

    /// The type of its numbers in the checkpoint.
    pub(crate) fn ty(&self) -> blocks::TensorType {
        self.parts[0].ty()
    }

    /// Consecutive rows as floats.
    pub(crate) fn decode(&self, rows: Range<u64>, out: &mut [f32]) {
        for (row, out) in rows.zip(out.chunks_exact_mut(self.n_cols as usize)) {
            let row = self.source_row(row as usize);
            match self.axis {
                Axis::Cols => {
                    for (part, out) in self.parts.iter().zip(out.chunks_exact_mut(self.parts[0].n_cols())) {
                        part.decode_row(row, out);
                    }
                }
                _ => {
                    let part_rows = self.parts[0].n_rows().unwrap_or(1);
                    self.parts[row / part_rows].decode_row(row % part_rows, out);
                }
            }
        }
    }
}
