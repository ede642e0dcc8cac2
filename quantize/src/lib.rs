//! Floats to blocks: the encoders, the mixtures of types that a file's name stands for, and a GGUF from one type to
//! another in a stream.

#![forbid(unsafe_code)]

mod encode;
mod error;
mod file_type;
mod imatrix;
mod monitor;
mod stream;
mod tensor_stream;
mod work;

pub use encode::{Encode, Grid, encode};
pub use error::Error;
pub use file_type::{FileType, UnknownFileType};
pub use imatrix::Imatrix;
pub use monitor::{Cancelled, Monitor};
pub use stream::{Options, Summary, quantize};
pub use tensor_stream::{MAX_COLS, Matrix, TensorStream};
pub use work::Work;
