//! See the parent.

use super::{Panel, Results};
use crate::activations::Per32;
use crate::dot::per_32::scalar::{Unpacked, multiply as dot};
use blocks::Q5_0;

pub(super) fn multiply(panel: Panel<'_, Q5_0>, x: Per32<'_>, results: &mut Results) {
    dot(panel, x, results, unpack);
}

fn unpack(block: &Q5_0) -> Unpacked {
    let high = u32::from_le_bytes(block.high);
    let q = std::array::from_fn(|i| {
        let low = block.q[i % 16] >> (4 * (i / 16)) & 15;
        (low | ((high >> i & 1) as u8 * 16)) as i8 - 16
    });
    Unpacked { q, d: block.d.to_f32(), m: None }
}
