//! The order in which a pass reads the weights, in pieces, and which of these stay in memory.
//!
//! Every piece is read once in a pass, so all are equally worth keeping, and what counts is the order: the disk should
//! have something to read all the time. Kept pieces therefore lie evenly among the others: on two cores, of a model of
//! which 0.55 (0.82) fit, keeping the beginning cost 12 % (46 %) more time.
//!
//! The fractional parts of multiples of the golden ratio are even in each of their beginnings. Ranked by them, any
//! number of first pieces is spread over the scan, and a larger number only adds to a smaller one, so that the kept set
//! grows and shrinks by what it gains or loses and nothing else.

use crate::{Matrix, Model};
use std::ops::Range;

/// Rows of a matrix that are read at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The first row.
    pub first_row: usize,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes.
    pub len: usize,
}

/// All pieces, in the order of a pass.
#[derive(Debug)]
pub(super) struct Scan {
    pub pieces: Vec<Piece>,
    /// By a tensor's place in the file's header: its pieces.
    of_tensor: Vec<Range<usize>>,
    /// By piece: how many are kept rather than it.
    rank: Vec<usize>,
    /// Pieces by their rank.
    ranked: Vec<usize>,
    /// Bytes that the pieces up to each rank take together.
    kept_bytes: Vec<u64>,
}

/// 2⁶⁴ times the golden ratio's fractional part.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Kernels multiply as many rows together: pieces have a multiple of them.
const PANEL_ROWS: usize = 32;

impl Scan {
    /// Pieces of at most `piece_bytes`, if a few rows are not more. `kept_bytes` of a piece's length is what keeping it
    /// takes.
    pub(super) fn new(model: &Model, piece_bytes: usize, kept_bytes: impl Fn(usize) -> usize) -> Self {
        let tensors = model.file().tensors();
        let (mut pieces, mut of_tensor) = (Vec::new(), vec![0..0; tensors.len()]);
        for matrix in model.weights().matrices() {
            let tensor = &tensors[matrix.tensor];
            let row_bytes = tensor.n_bytes as usize / matrix.n_rows;
            let n_rows = (piece_bytes / row_bytes / PANEL_ROWS * PANEL_ROWS).max(PANEL_ROWS);
            let start = pieces.len();
            pieces.extend((0..matrix.n_rows).step_by(n_rows).map(|first_row| Piece {
                first_row,
                offset: tensor.offset + (first_row * row_bytes) as u64,
                len: n_rows.min(matrix.n_rows - first_row) * row_bytes,
            }));
            of_tensor[matrix.tensor] = start..pieces.len();
        }
        let mut ranked: Vec<usize> = (0..pieces.len()).collect();
        ranked.sort_unstable_by_key(|&piece| (piece as u64).wrapping_mul(GOLDEN));
        let mut rank = vec![0; pieces.len()];
        let mut sum = 0;
        let kept_bytes = ranked.iter().enumerate().map(|(at, &piece)| {
            rank[piece] = at;
            sum += kept_bytes(pieces[piece].len) as u64;
            sum
        });
        let kept_bytes = kept_bytes.collect();
        Self { pieces, of_tensor, rank, ranked, kept_bytes }
    }

    /// The pieces of a matrix, in their order.
    pub(super) fn of(&self, matrix: &Matrix) -> Range<usize> {
        self.of_tensor[matrix.tensor].clone()
    }

    /// Whether a piece is one of the `n_kept` that are kept.
    pub(super) fn keeps(&self, piece: usize, n_kept: usize) -> bool {
        self.rank[piece] < n_kept
    }

    /// Pieces by rank.
    pub(super) fn ranked(&self, ranks: Range<usize>) -> &[usize] {
        &self.ranked[ranks]
    }

    /// How many pieces can be kept in so many bytes.
    pub(super) fn n_kept(&self, bytes: u64) -> usize {
        self.kept_bytes.partition_point(|&sum| sum <= bytes)
    }

    /// Bytes of the longest piece.
    pub(super) fn max_len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len).max().unwrap_or(0)
    }
}
