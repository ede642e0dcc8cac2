//! See the parent.

use super::{Panel, Results};
use crate::activations::Floats;
use crate::dot::float::{Eights, Sums, add_eights, multiply as by_rows};
use crate::isa::avx2::{add_bf16, add_f16, add_f32, add_products, floats_of, join, load_16, load_32};
use blocks::{Bf16, Block, F16, F32};
use core::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_f32(_: impl Copy, panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    let load = |[w]: [&[F32; 8]; 1]| floats_of(_mm256_castsi256_ps(load_32(bytemuck::cast_ref(w))));
    multiply(panel, x, results, load, |sums, [[a], [b], [c], [d]], x| add_f32(sums, [a, b, c, d], x));
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_f16(_: impl Copy, panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    let load = |[w]: [&[F16; 8]; 1]| floats_of(_mm256_cvtph_ps(load_16(bytemuck::cast_ref(w))));
    multiply(panel, x, results, load, |sums, [[a], [b], [c], [d]], x| add_f16(sums, [a, b, c, d], x));
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_bf16(_: impl Copy, panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    let load = |[w]: [&[Bf16; 8]; 1]| {
        let wide = _mm256_cvtepu16_epi32(load_16(bytemuck::cast_ref(w)));
        floats_of(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide)))
    };
    multiply(panel, x, results, load, |sums, [[a], [b], [c], [d]], x| add_bf16(sums, [a, b, c, d], x));
}

/// Rows that meet one token after another: with three tokens, they stay in a second cache of 512 KiB. All of a panel came to
/// 0.97 of what sixteen do with rows of 11 008 halves, and are as fast with rows of 4096 (Zen 3).
const GROUP_ROWS: usize = 16;

/// Three tokens at a time, by `add_three`. `load` makes floats of eight weights. The processor's own prefetcher follows four rows: with the
/// next ones fetched after every 32 eights three tokens read 14.0 to 14.1 GB/s with F16, and without 14.5 to 15.9 (two cores of a Zen 3).
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    load: impl Fn([&[B; 8]; 1]) -> [f32; 8],
    add_three: impl Fn(&mut Sums<8, 4, 3>, Eights<'_, B, 1, 4>, [&[[f32; 8]]; 3]),
) {
    let (add, join) = (|sums: &mut _, w: &_, x: &_| add_products(sums, w, x), |chains| join(chains));
    for first in (0..panel.n_rows()).step_by(GROUP_ROWS) {
        let rows = first..panel.n_rows().min(first + GROUP_ROWS);
        for (i, results) in results.chunks_mut(3).enumerate() {
            macro_rules! tokens {
                ($n:literal, $n_rows:literal, $fetches:expr, $add:expr) => {
                    by_rows::<8, 1, $n_rows, $n, B>(
                        panel,
                        rows.clone(),
                        x.skip(3 * i),
                        results,
                        $fetches,
                        $add,
                        join,
                    )
                };
            }
            match results.len() {
                1 => {
                    tokens!(1, 8, i == 0, |sums, rows, x, ahead| add_eights(sums, rows, x, ahead, &load, add))
                }
                2 => {
                    tokens!(2, 4, i == 0, |sums, rows, x, ahead| add_eights(sums, rows, x, ahead, &load, add))
                }
                _ => tokens!(3, 4, false, |sums, rows, x, _| add_three(sums, rows, x)),
            }
        }
    }
}
