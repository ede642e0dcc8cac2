//! `TQ2_0`: 256 weights of three values, two bits each, with one scale.
//!
//! | bytes | what |
//! |---|---|
//! | 0–63 | `q`: weight `128 h + 32 k + i` is at bit `2 k` of byte `32 h + i` |
//! | 64–65 | `d`, f16 |
//!
//! `w = d · (q − 1)`.

use crate::q2_k::two_bits;
use crate::{Block, F16, TensorType};
use bytemuck::{Pod, Zeroable};

/// 256 weights in 66 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Tq2_0 {
    /// The integers.
    pub q: [u8; 64],
    /// Scale.
    pub d: F16,
}

const _: () = assert!(size_of::<Tq2_0>() == 66);

impl Tq2_0 {
    /// The integers of the weights, −1…1 (2 for bits that no encoder makes), in order.
    #[inline(always)]
    pub fn integers(&self) -> [i8; 256] {
        two_bits(&self.q).map(|q| q - 1)
    }
}

impl Block for Tq2_0 {
    const TYPE: TensorType = TensorType::Tq2_0;
    const LEN: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        assert_eq!(out.len(), 256);
        let d = self.d.to_f32();
        for (out, q) in out.iter_mut().zip(self.integers()) {
            *out = f32::from(q) * d;
        }
    }
}
