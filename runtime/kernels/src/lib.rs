//! The arithmetic: matrix products per block format and ISA, norms, rotary embedding, attention, threads.

mod activations;
mod attention;
mod dot;
mod elementwise;
mod exp;
mod halves;
mod isa;
mod lanes;
mod machine;
mod matmul;
#[cfg(test)]
mod random;
mod rope;
mod team;
mod unpack;

pub use activations::{Activations, Packing};
pub use attention::{Attention, attention};
pub use elementwise::{add, rms_norm, silu_mul};
pub use isa::{Isa, IsaError};
pub use machine::read_bandwidth;
pub use matmul::{Product, Rows, matmul};
pub use rope::{RopeTable, rope};
pub use team::Team;
