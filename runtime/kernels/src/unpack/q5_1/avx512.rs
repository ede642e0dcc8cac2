//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::avx512::{Unpacked, multiply as dot};
use crate::isa::avx512::{Avx512, add_fifth_bits, high_halves, low_halves, nibbles, transpose};
use blocks::Q5_1;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply(level: Avx512, panel: Panel<'_, Q5_1>, x: Per32<'_>, results: &mut Results) {
    dot::<0, true, _>(level, panel, x, results, |blocks| unpack(blocks));
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn unpack(blocks: [&Q5_1; 16]) -> Unpacked {
    // The scale and the minimum, the fifth bits, and eight bytes of nibbles, which are loaded again.
    let [first, high, ..] =
        transpose(blocks.map(|block| bytemuck::bytes_of(block).first_chunk().expect("24 bytes")));
    let q = add_fifth_bits(nibbles(transpose(blocks.map(|block| &block.q))), high);
    Unpacked { q, d: low_halves(first), m: high_halves(first) }
}
