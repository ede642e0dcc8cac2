//! See the parent.

use super::{Panel, Results};
use crate::activations::Floats;
use crate::dot::float::{add_eights, multiply as by_rows};
use crate::isa::neon::{add_products, floats_of, halves, join, load_16};
use blocks::{Bf16, Block, F16, F32};
use core::arch::aarch64::*;

#[target_feature(enable = "neon")]
pub(super) fn multiply_f32(_: impl Copy, panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    multiply(panel, x, results, |[w]| {
        let halves: &[[u8; 16]; 2] = bytemuck::cast_ref(w);
        floats_of(halves.each_ref().map(|half| vreinterpretq_f32_u8(load_16(half))))
    });
}

#[target_feature(enable = "neon")]
pub(super) fn multiply_f16(_: impl Copy, panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    multiply(panel, x, results, |[w]| {
        let [low, high]: [[F16; 4]; 2] = bytemuck::cast(*w);
        floats_of([halves(low), halves(high)])
    });
}

#[target_feature(enable = "neon")]
pub(super) fn multiply_bf16(_: impl Copy, panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    multiply(panel, x, results, |[w]| {
        let w = vreinterpretq_u16_u8(load_16(bytemuck::cast_ref(w)));
        let wide = [vshll_n_u16::<16>(vget_low_u16(w)), vshll_high_n_u16::<16>(w)];
        floats_of(wide.map(|wide| vreinterpretq_f32_u32(wide)))
    });
}

/// Four tokens at a time, and what is left by twos and one. `load` makes floats of eight weights. With six tokens, whose sums
/// would just fit the registers, the compiler kept some of them in memory.
#[inline]
#[target_feature(enable = "neon")]
fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    mut results: &mut Results,
    load: impl Fn([&[B; 8]; 1]) -> [f32; 8],
) {
    let add = |sums: &mut _, w: &_, x: &_| add_products(sums, w, x);
    let mut done = 0;
    macro_rules! tokens {
        ($n:literal, $n_rows:literal) => {{
            let (now, later) = results.split_at_mut($n);
            by_rows::<8, 1, $n_rows, $n, B>(
                panel,
                0..panel.n_rows(),
                x.skip(done),
                now,
                done == 0,
                |sums, rows, x, ahead| add_eights(sums, rows, x, ahead, &load, add),
                |chains| join(chains),
            );
            (results, done) = (later, done + $n);
        }};
    }
    while !results.is_empty() {
        match results.len() {
            1 => tokens!(1, 8),
            2 | 3 => tokens!(2, 4),
            _ => tokens!(4, 2),
        }
    }
}
