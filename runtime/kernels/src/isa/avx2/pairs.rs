//! Products of unsigned bytes with signed ones, summed in 16 bits: a vector has four columns of eight rows, and a lane the sums of
//! two pairs of columns.

use super::{broadcast_4, settled};
use core::arch::x86_64::*;

/// Adds `N` steps' products of `G` groups of rows with `T` tokens to sums that have `BEGUN`, or else makes these.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn add_pairs<const BEGUN: bool, const N: usize, const G: usize, const T: usize>(
    pairs: &mut [[__m256i; T]; G],
    w: [&[__m256i; N]; G],
    x: [&[[i8; 4]; N]; T],
) {
    if let ([w0, w1], [x0, x1, x2], [s00, s01, s02, s10, s11, s12]) =
        (&w[..], &x[..], pairs.as_flattened_mut())
        && N.is_multiple_of(4)
    {
        let (w, x, mut sums) = ([*w0, *w1], [*x0, *x1, *x2], [*s00, *s01, *s02, *s10, *s11, *s12]);
        step::<BEGUN, 0, N>(&mut sums, w, x);
        step::<true, 1, N>(&mut sums, w, x);
        step::<true, 2, N>(&mut sums, w, x);
        step::<true, 3, N>(&mut sums, w, x);
        if N == 8 {
            step::<true, 4, N>(&mut sums, w, x);
            step::<true, 5, N>(&mut sums, w, x);
            step::<true, 6, N>(&mut sums, w, x);
            step::<true, 7, N>(&mut sums, w, x);
        }
        [*s00, *s01, *s02, *s10, *s11, *s12] = sums;
    } else {
        for j in 0..N {
            for t in 0..T {
                let x = broadcast_4(&x[t][j]);
                for g in 0..G {
                    let products = _mm256_maddubs_epi16(w[g][j], x);
                    pairs[g][t] = settled(_mm256_add_epi16(pairs[g][t], products));
                }
            }
        }
    }
}

/// Adds step `J` of two groups of rows with three tokens, or makes sums of it. With six sums of what a block or a scale ends
/// there are four registers left, and the order is what the instructions' ports are shared by.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn step<const ADD: bool, const J: usize, const N: usize>(
    [s00, s01, s02, s10, s11, s12]: &mut [__m256i; 6],
    [w0, w1]: [&[__m256i; N]; 2],
    [x0, x1, x2]: [&[[i8; 4]; N]; 3],
) {
    // What both do, with the instructions that follow each product.
    macro_rules! step {
        ($how:ident, $([$product:literal $(, $add:literal)?]),*) => {
            // SAFETY: of each array an element is read that it has, whatever J is; vectors are aligned.
            unsafe {
                core::arch::asm!(
                    $($product, $($add,)?)*
                    w0 = in(reg) w0, w1 = in(reg) w1, x0 = in(reg) x0, x1 = in(reg) x1, x2 = in(reg) x2,
                    w = const J % N * 32, x = const J % N * 4,
                    s00 = $how(ymm_reg) *s00, s01 = $how(ymm_reg) *s01, s02 = $how(ymm_reg) *s02,
                    s10 = $how(ymm_reg) *s10, s11 = $how(ymm_reg) *s11, s12 = $how(ymm_reg) *s12,
                    q = out(ymm_reg) _, a = out(ymm_reg) _, b = out(ymm_reg) _, c = out(ymm_reg) _,
                    options(readonly, nostack, preserves_flags)
                );
            }
        };
    }
    if ADD {
        step!(
            inout,
            ["vmovdqa {q}, [{w0} + {w}]"],
            ["vpbroadcastd {a}, [{x0} + {x}]"],
            ["vpmaddubsw {c}, {q}, {a}", "vpaddw {s00}, {s00}, {c}"],
            ["vpbroadcastd {b}, [{x1} + {x}]"],
            ["vpmaddubsw {c}, {q}, {b}", "vpaddw {s01}, {s01}, {c}"],
            ["vpbroadcastd {c}, [{x2} + {x}]"],
            ["vpmaddubsw {q}, {q}, {c}", "vpaddw {s02}, {s02}, {q}"],
            ["vmovdqa {q}, [{w1} + {w}]"],
            ["vpmaddubsw {a}, {q}, {a}", "vpaddw {s10}, {s10}, {a}"],
            ["vpmaddubsw {b}, {q}, {b}", "vpaddw {s11}, {s11}, {b}"],
            ["vpmaddubsw {c}, {q}, {c}", "vpaddw {s12}, {s12}, {c}"]
        );
    } else {
        step!(
            out,
            ["vmovdqa {q}, [{w0} + {w}]"],
            ["vpbroadcastd {a}, [{x0} + {x}]"],
            ["vpmaddubsw {s00}, {q}, {a}"],
            ["vpbroadcastd {b}, [{x1} + {x}]"],
            ["vpmaddubsw {s01}, {q}, {b}"],
            ["vpbroadcastd {c}, [{x2} + {x}]"],
            ["vpmaddubsw {s02}, {q}, {c}"],
            ["vmovdqa {q}, [{w1} + {w}]"],
            ["vpmaddubsw {s10}, {q}, {a}"],
            ["vpmaddubsw {s11}, {q}, {b}"],
            ["vpmaddubsw {s12}, {q}, {c}"]
        );
    }
}
