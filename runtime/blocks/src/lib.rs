//! The vocabulary of GGUF: which tensor types there are, how their blocks lie in memory, and what they mean.
//!
//! A tensor's row is a run of *blocks*; a block is a few bytes that stand for a fixed number of weights. Everything
//! here is the file's own layout: the structs have alignment 1 and are cast from mapped bytes without a copy, at any
//! offset. [`Block::decode`] is the specification of a format, written to be read; it equals ggml's own dequantizer
//! bit for bit. Nothing here is fast, and nothing here does I/O.
//!
//! | in the file | here | weights | bytes | bits a weight |
//! |---|---|---|---|---|
//! | `F32` `F16` `BF16` | [`F32`] [`F16`] [`Bf16`] | 1 | 4, 2, 2 | 32, 16, 16 |
//! | `Q4_0` `Q4_1` | [`Q4_0`] [`Q4_1`] | 32 | 18, 20 | 4.5, 5 |
//! | `Q5_0` `Q5_1` | [`Q5_0`] [`Q5_1`] | 32 | 22, 24 | 5.5, 6 |
//! | `Q8_0` | [`Q8_0`] | 32 | 34 | 8.5 |
//! | `IQ4_NL` `MXFP4` | [`Iq4Nl`] [`Mxfp4`] | 32 | 18, 17 | 4.5, 4.25 |
//! | `Q2_K` `Q3_K` | [`Q2K`] [`Q3K`] | 256 | 84, 110 | 2.625, 3.4375 |
//! | `Q4_K` `Q5_K` `Q6_K` | [`Q4K`] [`Q5K`] [`Q6K`] | 256 | 144, 176, 210 | 4.5, 5.5, 6.5625 |
//! | `IQ4_XS` | [`Iq4Xs`] | 256 | 136 | 4.25 |
//! | `TQ1_0` `TQ2_0` | [`Tq1_0`] [`Tq2_0`] | 256 | 54, 66 | 1.6875, 2.0625 |
//!
//! To add a format: a file beside these with its struct and its [`Block`], a line in [`TensorType`]'s table, and a
//! line in [`with_block!`]; the compiler then asks each room for what it has to add, an encoder among it.

#![forbid(unsafe_code)]

mod float;
mod iq4_nl;
mod iq4_xs;
mod mxfp4;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod tensor_type;
mod tq1_0;
mod tq2_0;

pub use float::{Bf16, F16, F32};
pub use iq4_nl::{IQ4_LEVELS, Iq4Nl};
pub use iq4_xs::Iq4Xs;
pub use mxfp4::{FP4_LEVELS, Mxfp4};
pub use q2_k::Q2K;
pub use q3_k::Q3K;
pub use q4_0::Q4_0;
pub use q4_1::Q4_1;
pub use q4_k::{Q4K, scale_and_min};
pub use q5_0::Q5_0;
pub use q5_1::Q5_1;
pub use q5_k::Q5K;
pub use q6_k::Q6K;
pub use q8_0::Q8_0;
pub use tensor_type::{TensorType, UnknownTensorType};
pub use tq1_0::Tq1_0;
pub use tq2_0::Tq2_0;

/// A fixed number of weights as they lie in a file.
///
/// Implementors have alignment 1 and no padding (`Pod` proves it), so a byte slice whose length is a multiple of
/// the block's size *is* a slice of blocks: see [`from_bytes`].
pub trait Block: bytemuck::Pod + Send + Sync {
    /// The type that a file names for rows of this block.
    const TYPE: TensorType;
    /// Weights in one block.
    const LEN: usize;

    /// Writes the block's weights to `out`, in order.
    ///
    /// # Panics
    /// If `out` is not [`Self::LEN`] floats long.
    fn decode(&self, out: &mut [f32]);

    /// Writes the weights of consecutive blocks: see [`decode`], which checks the lengths.
    fn decode_all(blocks: &[Self], out: &mut [f32]) {
        for (block, out) in blocks.iter().zip(out.chunks_exact_mut(Self::LEN)) {
            block.decode(out);
        }
    }
}

/// Bytes of a file as the blocks that they are.
///
/// # Panics
/// If the length is no multiple of the block's size. Readers check a tensor's length against its shape first.
pub fn from_bytes<B: Block>(bytes: &[u8]) -> &[B] {
    bytemuck::cast_slice(bytes)
}

/// Decodes consecutive blocks into consecutive floats. (Always inlined: plain numbers are decoded with the vectors that the
/// caller is compiled for.)
///
/// # Panics
/// If `out` is not `blocks.len() * B::LEN` floats long.
#[inline(always)]
pub fn decode<B: Block>(blocks: &[B], out: &mut [f32]) {
    assert_eq!(out.len(), blocks.len() * B::LEN, "floats for {} blocks of {:?}", blocks.len(), B::TYPE);
    B::decode_all(blocks, out);
}

/// The one step from a tensor type known at run time to a block type known at compile time.
///
/// `with_block!(ty, B => expr, else other)` evaluates `expr` with `B` naming the block of `ty`, or `other` for a type
/// whose blocks llamita does not have. `with_block!(grid ty, B => expr, else other)` takes only those that are
/// quantized. These lists stand nowhere else.
///
/// ```
/// use llamita_blocks::{TensorType, with_block, Block};
/// let len = with_block!(TensorType::Q4_0, B => Some(B::LEN), else None);
/// assert_eq!(len, Some(32));
/// ```
#[macro_export]
macro_rules! with_block {
    (grid $ty:expr, $B:ident => $known:expr, else $unknown:expr) => {
        $crate::with_block!(@ $ty, $B, $known, $unknown,
            [Q4_0 Q4_0] [Q4_1 Q4_1] [Q5_0 Q5_0] [Q5_1 Q5_1] [Q8_0 Q8_0] [Q2K Q2K] [Q3K Q3K] [Q4K Q4K] [Q5K Q5K] [Q6K Q6K]
            [Iq4Nl Iq4Nl] [Iq4Xs Iq4Xs] [Mxfp4 Mxfp4] [Tq1_0 Tq1_0] [Tq2_0 Tq2_0])
    };
    ($ty:expr, $B:ident => $known:expr, else $unknown:expr) => {
        $crate::with_block!(grid $ty, $B => $known, else $crate::with_block!(@ $ty, $B, $known, $unknown,
            [F32 F32] [F16 F16] [Bf16 Bf16]))
    };
    (@ $ty:expr, $B:ident, $known:expr, $unknown:expr, $([$variant:ident $block:ident])*) => {
        match $ty {
            $($crate::TensorType::$variant => {
                type $B = $crate::$block;
                $known
            })*
            _ => $unknown,
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_blocks_agree_on_sizes() {
        let mut known = 0;
        for ty in TensorType::all() {
            with_block!(ty, B => {
                known += 1;
                assert_eq!((B::TYPE, B::LEN, size_of::<B>()), (ty, ty.block_len(), ty.block_bytes()), "{ty}");
                assert_eq!(align_of::<B>(), 1, "{ty}");
            }, else ());
            assert_eq!(TensorType::try_from(ty.wire()), Ok(ty));
        }
        assert_eq!(known, 18);
    }

    #[test]
    fn a_file_may_hold_blocks_at_any_offset() {
        let bytes = [0u8; 2 * 18 + 1];
        assert_eq!(from_bytes::<Q4_0>(&bytes[1..]).len(), 2);
    }
}
