//! See the parent.

use super::scalar::unpack;
use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{multiply as dot, turn};
use blocks::Iq4Xs;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(panel: Panel<'_, Iq4Xs>, x: Per256<'_>, results: &mut Results) {
    dot::<8, 32, 0, _>(panel, x, results, |blocks, out| turn::<0>(&blocks.map(unpack), out));
}
