//! See the parent.

use super::scalar::unpack;
use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::neon::{Level, turn};
use blocks::Q3K;

#[target_feature(enable = "neon")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Q3K>, x: Per256<'_>, results: &mut Results) {
    level.multiply::<4, _>(panel, x, results, |blocks, out| turn(&blocks.map(unpack), out));
}
