//! Tensors by name, whichever format their file has, and each as a view of mapped bytes.

use crate::Error;
use blocks::{Block, TensorType, with_block};
use std::fmt;
use std::path::Path;

/// What one part of a checkpoint holds: a file of Meta's, or all files of Hugging Face's together.
pub(crate) trait Tensors<'a> {
    /// The file that lists the names.
    fn path(&self) -> &'a Path;

    /// All names, in no order.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;

    /// Whether there is a tensor of this name.
    fn contains(&self, name: &str) -> bool;

    /// The tensor of this name, checked against the bytes that are really there.
    fn view(&self, name: &str) -> Result<View<'a>, Error>;
}

/// How a tensor lies among the numbers of its storage. Shape and strides are equally long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strided<'e> {
    /// The first number's place, in numbers.
    pub(crate) offset: u64,
    /// The slowest dimension first.
    pub(crate) shape: &'e [u64],
    /// Distance of neighbours in each dimension, in numbers.
    pub(crate) strides: &'e [u64],
}

/// The visitor of tensor types, where the type is a view's.
macro_rules! with_float {
    ($ty:expr, $B:ident => $body:expr) => {
        with_block!($ty, $B => $body, else unreachable!("View::new takes three types"))
    };
}

/// One or two dimensions of f32, f16 or bf16 somewhere in a file, with any strides. Everything lies inside the bytes:
/// [`new`](Self::new) saw to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    path: &'a Path,
    ty: TensorType,
    /// From the first number to the storage's end.
    bytes: &'a [u8],
    /// Rows and columns; a vector has no rows and is one.
    n_rows: Option<usize>,
    n_cols: usize,
    /// In numbers.
    row_stride: usize,
    col_stride: usize,
}

impl<'a> View<'a> {
    /// Checks a description against the bytes that its storage really has. `path` and `storage` are for sentences; `ty`
    /// is one of f32, f16 and bf16.
    pub(crate) fn new(
        path: &'a Path,
        ty: TensorType,
        Strided { offset, shape, strides }: Strided<'_>,
        bytes: &'a [u8],
        storage: impl fmt::Display,
    ) -> Result<Self, String> {
        let (n_rows, n_cols, row_stride, col_stride) = match (shape, strides) {
            (&[n_rows, n_cols], &[row, col]) => (Some(n_rows), n_cols, row, col),
            (&[n_cols], &[col]) => (None, n_cols, 0, col),
            _ => {
                let shape = brief(shape);
                return Err(format!("shape {shape}: a tensor of a Llama has one or two dimensions"));
            }
        };
        let size = ty.block_bytes() as u64;
        let n_available = bytes.len() as u64 / size;
        let end = (|| {
            let rows = n_rows.unwrap_or(1).checked_sub(1)?.checked_mul(row_stride)?;
            let cols = n_cols.checked_sub(1)?.checked_mul(col_stride)?;
            offset.checked_add(rows)?.checked_add(cols)?.checked_add(1)
        })();
        // The product too: strides of zero would make a large tensor of a few numbers, and no checkpoint has them.
        let n_elements = n_rows.unwrap_or(1).checked_mul(n_cols);
        if end.is_none_or(|end| end > n_available) || n_elements.is_none_or(|n| n > n_available) {
            return Err(format!(
                "shape {shape:?} with strides {strides:?} from number {offset} on does not fit its storage `{storage}`, \
                 which has {n_available} numbers; the file is damaged: download it again"
            ));
        }
        // All of these are at most the storage's bytes, or multiplied by zero only.
        let fits = |n: u64| usize::try_from(n).unwrap_or(0);
        Ok(Self {
            path,
            ty,
            bytes: &bytes[fits(offset * size)..],
            n_rows: n_rows.map(fits),
            n_cols: fits(n_cols),
            row_stride: fits(row_stride),
            col_stride: fits(col_stride),
        })
    }

    /// The file that it is in.
    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    /// F32, F16 or Bf16.
    pub(crate) fn ty(&self) -> TensorType {
        self.ty
    }

    /// Rows; `None`: a vector.
    pub(crate) fn n_rows(&self) -> Option<usize> {
        self.n_rows
    }

    /// Numbers in a row.
    pub(crate) fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// As torch prints it.
    pub(crate) fn shape(&self) -> Vec<usize> {
        self.n_rows.into_iter().chain([self.n_cols]).collect()
    }

    /// The row's bytes, where its numbers lie side by side.
    fn run(&self, row: usize) -> Option<&'a [u8]> {
        let size = self.ty.block_bytes();
        (self.col_stride == 1 || self.n_cols == 1)
            .then(|| &self.bytes[row * self.row_stride * size..][..self.n_cols * size])
    }

    /// Calls `each` with every column and its number.
    fn walk<B: Block>(&self, row: usize, mut each: impl FnMut(usize, &B)) {
        let numbers = &self.bytes[row * self.row_stride * size_of::<B>()..];
        for col in 0..self.n_cols {
            let at = col * self.col_stride * size_of::<B>();
            each(col, &blocks::from_bytes::<B>(&numbers[at..][..size_of::<B>()])[0]);
        }
    }

    /// A row as floats; `out` is `n_cols` long.
    pub(crate) fn decode_row(&self, row: usize, out: &mut [f32]) {
        with_float!(self.ty, B => match self.run(row) {
            Some(bytes) => blocks::decode(blocks::from_bytes::<B>(bytes), out),
            None => self.walk::<B>(row, |col, number| number.decode(&mut out[col..][..1])),
        });
    }
}

/// A shape short enough for a sentence.
pub(crate) fn brief(shape: &[u64]) -> String {
    const SHOWN_DIMS: usize = 8;
    match shape.len() > SHOWN_DIMS {
        true => format!("{:?} and {} more", &shape[..SHOWN_DIMS], shape.len() - SHOWN_DIMS),
        false => format!("{shape:?}"),
    }
}
