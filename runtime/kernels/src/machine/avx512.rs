//! See [`super::int8_peak`] and [`super::f32_peak`]: `rounds` steps of twelve chains; the number of products is returned.

use crate::isa::amx::N_TILES;
use crate::isa::avx512::Avx512;
use core::arch::x86_64::*;
use std::hint::black_box;

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn chains(level: Avx512, rounds: usize) -> usize {
    if let Some(amx) = level.amx() {
        let (tiles, rounds) = (amx.tiles([(16, 64); N_TILES]), rounds / 8);
        for _ in 0..rounds {
            tiles.add_products::<0, 4, 6>();
            tiles.add_products::<1, 5, 6>();
            tiles.add_products::<2, 4, 7>();
            tiles.add_products::<3, 5, 7>();
        }
        return rounds * 4 * 16 * 16 * 64;
    }
    let (mut sums, x) = ([_mm512_setzero_si512(); 12], _mm512_set1_epi8(black_box(3)));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, x, x);
        }
    }
    black_box(sums);
    rounds * 12 * 64
}

#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn f32_chains(_level: Avx512, rounds: usize) -> usize {
    let (mut sums, x) = ([_mm512_setzero_ps(); 12], _mm512_set1_ps(black_box(0.5)));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, x, x);
        }
    }
    black_box(sums);
    rounds * 12 * 16
}
