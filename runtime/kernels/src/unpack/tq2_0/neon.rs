//! See the parent.

use super::scalar::unpack;
use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::neon::{Level, turn};
use blocks::Tq2_0;

#[target_feature(enable = "neon")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Tq2_0>, x: Per256<'_>, results: &mut Results) {
    level.multiply::<8, _>(panel, x, results, |blocks, out| turn(&blocks.map(unpack), out));
}
