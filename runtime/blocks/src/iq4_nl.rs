//! `IQ4_NL`: 32 weights as indices into sixteen levels that lie closer around zero, with one scale.
//!
//! | bytes | what |
//! |---|---|
//! | 0–1 | `d`, f16 |
//! | 2–17 | `q`: byte `i` holds weight `i` in its low nibble, weight `i + 16` in its high |
//!
//! `w = d · level[q]`, the levels being [`IQ4_LEVELS`].

use crate::{Block, F16, TensorType};
use bytemuck::{Pod, Zeroable};

/// 32 weights in 18 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Iq4Nl {
    /// Scale.
    pub d: F16,
    /// Indices of weights i and i + 16 in byte i.
    pub q: [u8; 16],
}

const _: () = assert!(size_of::<Iq4Nl>() == 18);

/// What the indices of `IQ4_NL` and `IQ4_XS` stand for.
pub const IQ4_LEVELS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

impl Iq4Nl {
    /// The levels of the weights, in order.
    #[inline(always)]
    pub fn integers(&self) -> [i8; 32] {
        std::array::from_fn(|i| IQ4_LEVELS[usize::from(self.q[i % 16] >> (4 * (i / 16)) & 15)])
    }
}

impl Block for Iq4Nl {
    const TYPE: TensorType = TensorType::Iq4Nl;
    const LEN: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        assert_eq!(out.len(), 32);
        let d = self.d.to_f32();
        for (out, q) in out.iter_mut().zip(self.integers()) {
            *out = d * f32::from(q);
        }
    }
}
