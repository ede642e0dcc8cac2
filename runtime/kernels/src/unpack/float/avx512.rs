//! See the parent.

use super::{Panel, Results, avx2};
use crate::activations::Floats;
use crate::dot::float::{add_eights, multiply as by_rows};
use crate::isa::avx2::{join, load_16, load_32};
use crate::isa::avx512::{Avx512, add_products, floats_of};
use blocks::{Bf16, Block, F16, F32};
use core::arch::x86_64::*;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply_f32(_level: Avx512, panel: Panel<'_, F32>, x: Floats<'_>, results: &mut Results) {
    let load = |[a, b]: [&[F32; 8]; 2]| {
        let a = _mm512_castsi256_si512(load_32(bytemuck::cast_ref(a)));
        floats_of(_mm512_castsi512_ps(_mm512_inserti64x4::<1>(a, load_32(bytemuck::cast_ref(b)))))
    };
    multiply(panel, x, results, load, |x, results| avx2::multiply_f32((), panel, x, results));
}

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply_f16(_level: Avx512, panel: Panel<'_, F16>, x: Floats<'_>, results: &mut Results) {
    let load = |rows: [&[F16; 8]; 2]| floats_of(_mm512_cvtph_ps(two(rows.map(bytemuck::cast_ref))));
    multiply(panel, x, results, load, |x, results| avx2::multiply_f16((), panel, x, results));
}

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply_bf16(_level: Avx512, panel: Panel<'_, Bf16>, x: Floats<'_>, results: &mut Results) {
    let load = |rows: [&[Bf16; 8]; 2]| {
        let wide = _mm512_cvtepu16_epi32(two(rows.map(bytemuck::cast_ref)));
        floats_of(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide)))
    };
    multiply(panel, x, results, load, |x, results| avx2::multiply_bf16((), panel, x, results));
}

/// Sixteen bytes of each of two rows.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn two([a, b]: [&[u8; 16]; 2]) -> __m256i {
    _mm256_set_m128i(load_16(b), load_16(a))
}

/// Six tokens at a time, two rows a vector, of which `load` loads eights; up to three tokens by `few`.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn multiply<B: Block>(
    panel: Panel<'_, B>,
    x: Floats<'_>,
    results: &mut Results,
    load: impl Fn([&[B; 8]; 2]) -> [f32; 16],
    few: impl Fn(Floats<'_>, &mut Results),
) {
    let add = |sums: &mut _, w: &_, x: &_| add_products(sums, w, x);
    macro_rules! tokens {
        ($n:literal, $x:expr, $results:expr, $fetches:expr) => {
            by_rows::<16, 2, 4, $n, B>(
                panel,
                0..panel.n_rows(),
                $x,
                $results,
                $fetches,
                |sums, rows, x, ahead| add_eights(sums, rows, x, ahead, &load, add),
                |chains| join(chains),
            )
        };
    }
    for (i, results) in results.chunks_mut(6).enumerate() {
        let x = x.skip(6 * i);
        match results.len() {
            0..=3 => few(x, results),
            4 => tokens!(4, x, results, i == 0),
            5 => tokens!(5, x, results, i == 0),
            _ => tokens!(6, x, results, i == 0),
        }
    }
}
