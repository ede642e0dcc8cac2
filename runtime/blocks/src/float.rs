//! Plain numbers: one weight a "block", little-endian, at any offset.

use crate::{Block, TensorType};
use bytemuck::{Pod, Zeroable};

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

            #[inline(always)]
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

/// The same of halves: of `half`'s conversion, which branches, it makes none.
#[inline(always)]
fn halves(numbers: &[F16], out: &mut [f32]) {
    out.iter_mut().zip(numbers).for_each(|(out, &number)| *out = widened(number));
}

/// A half as a single, without a branch.
#[inline(always)]
fn widened(F16(bytes): F16) -> f32 {
    /// The exponents' biases are 15 and 127.
    const REBIASED: u32 = (127 - 15) << 23;
    /// Of the smallest normal half, 2⁻¹⁴.
    const SMALLEST_NORMAL: u32 = REBIASED + (1 << 23);
    let bits = u32::from(u16::from_le_bytes(bytes));
    let magnitude = bits & 0x7fff;
    let shifted = magnitude << 13;
    let normal = shifted + REBIASED;
    // A subnormal's fraction lies behind a 1 that is taken off again.
    let subnormal = (f32::from_bits(shifted + SMALLEST_NORMAL) - f32::from_bits(SMALLEST_NORMAL)).to_bits();
    let finite = if magnitude < 0x400 { subnormal } else { normal };
    // What is no number has the highest exponent in both, and is a quiet NaN unless infinite.
    let exponent = if magnitude >= 0x7c00 { 0x7f80_0000 } else { 0 };
    let quiet = if magnitude > 0x7c00 { 0x0040_0000 } else { 0 };
    f32::from_bits(finite | exponent | quiet | (bits & 0x8000) << 16)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_decodes_to_its_bits() {
        let all: Vec<_> = (0..=u16::MAX).map(|bits| F16(bits.to_le_bytes())).collect();
        let mut out = vec![0.0; all.len()];
        crate::decode(&all, &mut out);
        for (half, float) in all.into_iter().zip(out) {
            assert_eq!(float.to_bits(), half.to_f32().to_bits(), "{half:?}");
        }
    }
}
