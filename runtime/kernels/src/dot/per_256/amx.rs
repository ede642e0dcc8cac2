//! Sixteen tokens and both groups of rows at a time. Weights are multiplied by their scales as they are unpacked, 16 bits each at
//! most, and split into two bytes: so products of tiles sum a whole block, however many scales it has, twice.
//!
//! From the caches (256 rows of 4096, 512 tokens) a core of a Xeon (model 207) does 440 · 10⁹ multiply-adds a second with Q4_K and 465 with Q6_K,
//! where AVX-512 does 200 and 190. What holds it up is that activations come from the second cache: were all tokens one, it would be
//! 530 and 540, and 560 and 610 if all results were, too. Fetching them into the first cache ahead did not help, which weights fill; a second
//! place for sums in it cost a twentieth.

use super::avx512::{GROUPS, Layout, Unpacked, add_floats};
use crate::activations::{Per256, Run256};
use crate::isa::amx::{Amx, N_TILES, STEP_TOKENS, Sums, Tiles, first_token};
use crate::isa::avx512::{load_floats, load_ints, store_floats};
use crate::unpack::{Group, PANEL_ROWS, Panel, Results};
use blocks::Block;
use core::arch::x86_64::*;

/// Columns of a tile, and how many of these are a block.
const TILE_COLS: usize = 64;
const QUARTERS: usize = 4;

/// A block's weights times their scales, `256 · high + low`: columns `4j … 4j + 3` of sixteen rows, each in its lane.
#[derive(Clone, Copy)]
struct Scaled {
    /// Unsigned.
    low: [__m512i; 64],
    /// Signed.
    high: [__m512i; 64],
}

/// A step's sums of the low and of the high bytes, for each group of rows.
type Step = [[Sums; 2]; GROUPS];

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn multiply<L: Layout, B: Block>(
    amx: Amx,
    panel: Panel<'_, B>,
    x: Per256<'_>,
    results: &mut Results,
    unpack: impl Fn([&B; 16], &mut Unpacked),
) {
    let tiles = amx.tiles([(16, TILE_COLS as u16); N_TILES]);
    let zero = _mm512_setzero_si512();
    let mut w = [Unpacked::nothing(); GROUPS];
    let mut scaled = [Scaled { low: [zero; 64], high: [zero; 64] }; GROUPS];
    let rows: [Group<'_, B, 16>; GROUPS] = [panel.group(0), panel.group(16)];
    let n_tokens = results.len();
    let n_steps = n_tokens.div_ceil(STEP_TOKENS);
    let first_of = |step| first_token(step, n_tokens);
    let mut stored = [[Sums([[0; 16]; 16]); 2]; GROUPS];
    for b in 0..x.n_runs() {
        for ((rows, w), scaled) in rows.iter().zip(&mut w).zip(&mut scaled) {
            unpack(rows.blocks(b), w);
            scale::<L>(w, scaled);
        }
        let x: &[Run256] = x.at(b);
        let tokens = |step: usize| -> &[Run256; STEP_TOKENS] {
            x[first_of(step)..].first_chunk().expect("a step's tokens")
        };
        (0..QUARTERS).for_each(|quarter| add_quarter(&tiles, &scaled, tokens(0), quarter));
        store(&tiles, &mut stored);
        for step in 0..n_steps {
            panel.fetch(b + 1..b + 2, step, n_steps);
            let (first, x, next) = (first_of(step), tokens(step), tokens(step + 1));
            for quarter in 0..QUARTERS {
                // The next step's products are made while this one's sums become floats.
                add_quarter(&tiles, &scaled, next, quarter);
                for t in quarter * STEP_TOKENS / QUARTERS..(quarter + 1) * STEP_TOKENS / QUARTERS {
                    if first + t < step * STEP_TOKENS {
                        continue;
                    }
                    let Run256 { d, sums_of_32, sums, .. } = &x[t];
                    let pairs: &[i32] = match L::MINIMUMS {
                        16 => bytemuck::cast_slice(sums),
                        _ => bytemuck::cast_slice(sums_of_32),
                    };
                    let results: &mut [f32; PANEL_ROWS] = &mut results[first + t];
                    for (group, results) in results.as_chunks_mut().0.iter_mut().enumerate() {
                        let [low, high] = [0, 1].map(|byte| load_ints(&stored[group][byte].0[t]));
                        let sum = _mm512_add_epi32(_mm512_slli_epi32::<8>(high), low);
                        let acc = load_floats(results);
                        store_floats(
                            results,
                            add_floats::<L>(acc, sum, w[group].d, &w[group].minimums, *d, pairs),
                        );
                    }
                }
            }
            store(&tiles, &mut stored);
        }
    }
}

/// Adds a quarter of a block's products with sixteen tokens to tiles 0 to 3.
#[inline(always)]
fn add_quarter(tiles: &Tiles, w: &[Scaled; GROUPS], x: &[Run256; STEP_TOKENS], quarter: usize) {
    let x = x.as_ptr().cast::<u8>().wrapping_add(quarter * TILE_COLS);
    let rows = |w: &[__m512i; 64]| w[16 * quarter..].as_ptr().cast();
    if quarter == 0 {
        tiles.zero::<0>();
        tiles.zero::<1>();
        tiles.zero::<2>();
        tiles.zero::<3>();
    }
    // SAFETY: sixteen tokens' runs begin with 256 bytes; sixteen vectors follow each quarter's first.
    unsafe {
        tiles.load::<4>(x, size_of::<Run256>());
        tiles.load::<5>(rows(&w[0].low), 64);
        tiles.add_unsigned_products::<0, 4, 5>();
        tiles.load::<6>(rows(&w[0].high), 64);
        tiles.add_products::<1, 4, 6>();
        tiles.load::<7>(rows(&w[1].low), 64);
        tiles.add_unsigned_products::<2, 4, 7>();
        tiles.load::<5>(rows(&w[1].high), 64);
        tiles.add_products::<3, 4, 5>();
    }
}

/// Stores the sums of tiles 0 to 3.
#[inline(always)]
fn store(tiles: &Tiles, sums: &mut Step) {
    tiles.store::<0>(&mut sums[0][0]);
    tiles.store::<1>(&mut sums[0][1]);
    tiles.store::<2>(&mut sums[1][0]);
    tiles.store::<3>(&mut sums[1][1]);
}

/// Multiplies unpacked weights by their scales.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
fn scale<L: Layout>(w: &Unpacked, out: &mut Scaled) {
    // With minimums, weights are what they are: it is only their sums from which the other level takes an offset.
    let offset = _mm512_set1_epi8(if L::MINIMUMS == 0 { L::OFFSET as i8 } else { 0 });
    let low = _mm512_set1_epi16(0xff);
    for (i, &scale) in w.scales.iter().enumerate() {
        // The number of 16 bits twice.
        let scale = _mm512_or_si512(
            _mm512_slli_epi32::<16>(scale),
            _mm512_and_si512(scale, _mm512_set1_epi32(0xffff)),
        );
        for j in 4 * i..4 * i + 4 {
            let q = _mm512_sub_epi8(w.q[j], offset);
            // Of columns 0 and 2, and of 1 and 3.
            let even = _mm512_mullo_epi16(_mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(q)), scale);
            let odd = _mm512_mullo_epi16(_mm512_srai_epi16::<8>(q), scale);
            // Where the first has ones, the second, else the third.
            out.low[j] = _mm512_ternarylogic_epi32::<0xca>(low, even, _mm512_slli_epi16::<8>(odd));
            out.high[j] = _mm512_ternarylogic_epi32::<0xca>(low, _mm512_srli_epi16::<8>(even), odd);
        }
    }
}
