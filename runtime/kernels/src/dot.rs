//! The three dot shapes, which serve all formats; each is defined by its scalar.
//!
//! A shape's `multiply` takes a panel of rows, the packed tokens, and how a block is unpacked.

pub(crate) mod float;
pub(crate) mod per_256;
pub(crate) mod per_32;
