//! The arithmetic: matrix products per block format and ISA, norms, rotary embedding, attention, threads.

mod activations;
mod attention;
mod elementwise;
mod isa;
mod matmul;
mod rope;
mod team;

pub use activations::{Activations, Packing};
pub use attention::{Attention, attention};
pub use elementwise::{add, rms_norm, silu_mul};
pub use isa::Isa;
pub use matmul::{Product, Rows, matmul};
pub use rope::{RopeTable, rope};
pub use team::Team;
