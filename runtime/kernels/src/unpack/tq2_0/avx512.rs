//! See the parent.

use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx512::{Layout, Unpacked, multiply as dot, two_bits};
use crate::isa::avx512::{Avx512, high_halves, tails};
use blocks::Tq2_0;
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Tq2_0>, x: Per256<'_>, results: &mut Results) {
    dot::<Ternary, _>(level, panel, x, results, |blocks, out| unpack(blocks, out));
}

struct Ternary;

impl Layout for Ternary {
    const OFFSET: i32 = 1;
    const STEPS: usize = 8;
    const NARROW: bool = true;
    const MINIMUMS: usize = 0;
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Tq2_0; 16], out: &mut Unpacked) {
    two_bits(blocks.map(|block| &block.q), out);
    out.scales = [_mm512_set1_epi32(1); 16];
    out.d = high_halves(tails(blocks));
}
