//! Plain numbers: one weight a "block", little-endian, at any offset.

use crate::{Block, TensorType};
use bytemuck::{Pod, Zeroable};

macro_rules! float {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $number:ty) => {
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

        impl Block for $name {
            const TYPE: TensorType = TensorType::$name;
            const LEN: usize = 1;

            fn decode(&self, out: &mut [f32]) {
                let [out] = out else { panic!("one float for one {}", stringify!($name)) };
                *out = self.to_f32();
            }
        }
    };
}

float!(
    /// An IEEE 754 single.
    F32, 4, f32
);
float!(
    /// An IEEE 754 half. Also the scale of most quantized blocks.
    F16, 2, half::f16
);
float!(
    /// The upper half of a single: its range with 8 bits of precision.
    Bf16, 2, half::bf16
);

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
