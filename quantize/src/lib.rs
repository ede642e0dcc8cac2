//! Floats to blocks: the encoders, the mixtures of types that a file's name stands for, and a GGUF from one type to
//! another in a stream.

#![forbid(unsafe_code)]

mod allocate;
mod architecture;
mod calibration;
mod draft;
mod encode;
mod error;
mod feedback;
mod file_type;
mod imatrix;
mod loss;
mod mixture;
mod monitor;
mod plan;
mod recipe;
mod stream;
mod tensor_stream;
mod work;

pub use allocate::{Size, Target};
pub use architecture::Architecture;
pub use calibration::Calibration;
pub use draft::{Draft, Options, Summary, quantize};
pub use encode::{Encode, Grid, encode};
pub use error::Error;
pub use feedback::Judgement;
pub use file_type::{FileType, UnknownFileType};
pub use imatrix::{Imatrix, Reading};
pub use loss::{Loss, Share};
pub use mixture::Tensor;
pub use monitor::{Cancelled, Monitor};
pub use plan::Plan;
pub use recipe::{Pin, Recipe, encodable};
pub use tensor_stream::{MAX_COLS, Matrix, TensorStream};
pub use work::Work;
