//! Plain numbers: one weight a "block", little-endian, at any offset.

use crate::{Block, TensorType};
use bytemuck::{Pod, Zeroable};
use half::slice::HalfFloatSliceExt;

macro_rules! float {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $number:ty, $decode_all:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
        #[repr(transparent)]
        pub struct $name(pub [u8; $bytes]);

        const _: () = assert!(size_of::<$name>() == $bytes && align_of::<$name>() == 1);

        impl $name {
            /// The value; every bit pattern has one.
            #[inline]
            pub fn to_f32(self) -> f32 {
                <$number>::from_le_bytes(self.0).into()
            }
        }

        impl From<$name> for f32 {
            fn from(number: $name) -> f32 {
                number.to_f32()
            }
        }

        impl Block for $name {
            const TYPE: TensorType = TensorType::$name;
            const LEN: usize = 1;

            fn decode(&self, out: &mut [f32]) {
                let [out] = out else { panic!("one float for one {}", stringify!($name)) };
                *out = self.to_f32();
            }

            fn decode_all(blocks: &[Self], out: &mut [f32]) {
                $decode_all(blocks, out);
            }
        }
    };
}

float!(
    /// An IEEE 754 single.
    F32, 4, f32, one_by_one
);
float!(
    /// An IEEE 754 half. Also the scale of most quantized blocks.
    F16, 2, half::f16, halves
);
float!(
    /// The upper half of a single: its range with 8 bits of precision.
    Bf16, 2, half::bf16, one_by_one
);

/// A loop that the compiler makes vectors of.
#[inline(always)]
fn one_by_one<B: Copy + Into<f32>>(numbers: &[B], out: &mut [f32]) {
    out.iter_mut().zip(numbers).for_each(|(out, &number)| *out = number.into());
}

/// In pieces on the stack: `half` converts slices with the processor's instruction where it has one, but wants them aligned,
/// and a file's bytes need not be.
fn halves(numbers: &[F16], out: &mut [f32]) {
    const PIECE: usize = 64;
    let (pieces, rest) = numbers.as_chunks::<PIECE>();
    let (outs, rest_out) = out.as_chunks_mut::<PIECE>();
    for (piece, out) in pieces.iter().zip(outs) {
        piece.map(|number| half::f16::from_le_bytes(number.0)).convert_to_f32_slice(out);
    }
    one_by_one(rest, rest_out);
}

impl F32 {
    /// The number's bytes.
    #[inline]
    pub fn from_f32(value: f32) -> Self {
        Self(value.to_le_bytes())
    }
}

impl F16 {
    /// The nearest half, ties to even; beyond 65504 infinite.
    #[inline]
    pub fn from_f32(value: f32) -> Self {
        Self(half::f16::from_f32(value).to_le_bytes())
    }
}

impl Bf16 {
    /// The nearest, ties to even.
    #[inline]
    pub fn from_f32(value: f32) -> Self {
        Self(half::bf16::from_f32(value).to_le_bytes())
    }
}
