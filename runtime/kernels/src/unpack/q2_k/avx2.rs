//! See the parent.

use super::scalar::unpack;
use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{multiply as dot, turn};
use blocks::Q2K;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(panel: Panel<'_, Q2K>, x: Per256<'_>, results: &mut Results) {
    dot::<2, 16, 0, _>(panel, x, results, |blocks, out| turn::<0>(&blocks.map(unpack), out));
}
