//! `TQ1_0`: 256 weights of three values, five to a byte, with one scale.
//!
//! | bytes | what |
//! |---|---|
//! | 0–31 | `q`: digit `n` (0…4) of byte `i` is weight `32 n + i` |
//! | 32–47 | digit `n` of byte `32 + i` is weight `160 + 16 n + i` |
//! | 48–51 | `last`: digit `n` (0…3) of byte `i` is weight `240 + 4 n + i` |
//! | 52–53 | `d`, f16 |
//!
//! A byte is a fraction of 256 in base three: its first digit is `⌊3 · byte / 256⌋`, and `byte · 3 mod 256` moves the next one
//! to the front. `w = d · (digit − 1)`.

use crate::{Block, F16, TensorType};
use bytemuck::{Pod, Zeroable};

/// 256 weights in 54 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Tq1_0 {
    /// Five weights a byte.
    pub q: [u8; 48],
    /// Four weights a byte.
    pub last: [u8; 4],
    /// Scale.
    pub d: F16,
}

const _: () = assert!(size_of::<Tq1_0>() == 54);

/// The digits of bytes, less one: all first ones, then all second ones, as many as there is room for.
#[inline(always)]
fn digits(bytes: &[u8], out: &mut [i8]) {
    let mut power = 1_u8;
    for out in out.chunks_exact_mut(bytes.len()) {
        for (out, byte) in out.iter_mut().zip(bytes) {
            *out = ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as i8 - 1;
        }
        power = power.wrapping_mul(3);
    }
}

impl Tq1_0 {
    /// The integers of the weights, −1…1, in order.
    #[inline(always)]
    pub fn integers(&self) -> [i8; 256] {
        let mut out = [0; 256];
        let (first, rest) = out.split_at_mut(160);
        let (second, third) = rest.split_at_mut(80);
        digits(&self.q[..32], first);
        digits(&self.q[32..], second);
        digits(&self.last, third);
        out
    }
}

impl Block for Tq1_0 {
    const TYPE: TensorType = TensorType::Tq1_0;
    const LEN: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        assert_eq!(out.len(), 256);
        let d = self.d.to_f32();
        for (out, q) in out.iter_mut().zip(self.integers()) {
            *out = f32::from(q) * d;
        }
    }
}
