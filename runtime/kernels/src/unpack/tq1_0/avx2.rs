//! See the parent.

use super::scalar::unpack;
use super::{Panel, Results};
use crate::activations::Per256;
use crate::dot::per_256::avx2::{multiply as dot, turn};
use crate::isa::avx2::Level;
use blocks::Tq1_0;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(level: impl Level, panel: Panel<'_, Tq1_0>, x: Per256<'_>, results: &mut Results) {
    dot::<2, 32, 1, _>(level, panel, x, results, |blocks, out| turn::<1>(&blocks.map(unpack), out));
}
