//! What can go wrong while a file is quantized.

use blocks::TensorType;
use std::path::PathBuf;

/// Why a file was not quantized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input cannot be read or the output cannot be written.
    #[error(transparent)]
    File(#[from] gguf::Error),
    /// The user stopped it.
    #[error(transparent)]
    Cancelled(#[from] crate::Cancelled),
    /// Quantizing would read and replace the same file.
    #[error("{}: is the input too; name another output file", .0.display())]
    SameFile(PathBuf),
    /// One file of several.
    #[error(
        "{}: is part of a model that is split over {n_files} files; join them first \
         (llama.cpp's `llama-gguf-split --merge` does)",
        path.display()
    )]
    Split {
        /// The file.
        path: PathBuf,
        /// What its `split.count` says.
        n_files: u64,
    },
    /// A key of the input holds what it cannot.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Which, and what it holds.
        #[source]
        source: gguf::KeyError,
    },
    /// The input is quantized already.
    #[error(
        "tensor `{tensor}` is {from} already, and as {to} keeps that loss or adds to it; start from an F16, BF16 or F32 file, \
         or allow it with --allow-requantize"
    )]
    Requantize {
        /// The tensor.
        tensor: String,
        /// Its type.
        from: TensorType,
        /// The type that it would get.
        to: TensorType,
    },
    /// The input has a type that llamita cannot decode.
    #[error("tensor `{tensor}` is {ty}, which llamita cannot decode")]
    NoDecoder {
        /// The tensor.
        tensor: String,
        /// Its type.
        ty: TensorType,
    },
    /// The output would have a type that llamita cannot encode.
    #[error("tensor `{tensor}` would become {ty}, which llamita cannot encode")]
    NoEncoder {
        /// The tensor.
        tensor: String,
        /// The type that it would get.
        ty: TensorType,
    },
    /// A pin that changes nothing is a typing error.
    #[error(
        "--tensor-type `{pin}` fits no matrix of this model; `llamita inspect --tensors` lists their names"
    )]
    UnusedPin {
        /// As it was given.
        pin: String,
    },
    /// Nothing as small can be made.
    #[error(
        "the target is a file of {target_bytes} bytes, but the smallest that these types make has {smallest_bytes} bytes, \
         {tensor_bytes} of them tensors, {bits_per_weight:.3} bits for each weight"
    )]
    TargetTooSmall {
        /// What was asked for.
        target_bytes: u64,
        /// The smallest file.
        smallest_bytes: u64,
        /// Its tensors.
        tensor_bytes: u64,
        /// The same, divided among the weights.
        bits_per_weight: f64,
    },
    /// How much each matrix matters cannot be measured.
    #[error("{0}")]
    Allocation(String),
    /// The rows do not fit.
    #[error(
        "tensor `{tensor}` has rows of {n_cols} weights: as {ty} they must be multiples of {}, and at most {}",
        ty.block_len(),
        crate::MAX_COLS
    )]
    RowLength {
        /// The tensor.
        tensor: String,
        /// The type that it would get.
        ty: TensorType,
        /// Weights in a row.
        n_cols: u64,
    },
    /// An importance matrix that is none, is damaged, or belongs to another model.
    #[error("{}: {problem}", path.display())]
    Imatrix {
        /// Its file.
        path: PathBuf,
        /// A sentence.
        problem: String,
    },
    /// A text that nothing can be learned from, or a model that cannot read it.
    #[error("{0}")]
    Calibration(
        /// A sentence.
        String,
    ),
    /// The model that statistics come from cannot run.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The bound on memory leaves no room for the work.
    #[error(
        "{}MiB of memory are too little: this file takes at least --max-ram {}MiB with {n_threads} threads; \
         fewer --threads take less",
        max_bytes >> 20,
        least_bytes.div_ceil(1 << 20)
    )]
    Memory {
        /// The bound.
        max_bytes: u64,
        /// What would do.
        least_bytes: u64,
        /// Threads at work.
        n_threads: u64,
    },
    /// A weight is no number.
    #[error(
        "tensor `{tensor}`, row {row}, column {col}: the weight is {value}; the model is damaged: get it again, or take it as it is with --allow-nonfinite"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// From 0.
        row: u64,
        /// From 0.
        col: usize,
        /// NaN or infinite.
        value: f32,
    },
}

impl Error {
    /// Whether the same call can succeed later, and go on where this one ended.
    pub(crate) fn is_interruption(&self) -> bool {
        matches!(self, Self::Cancelled(_) | Self::File(gguf::Error::DiskFull { .. }))
    }
}
