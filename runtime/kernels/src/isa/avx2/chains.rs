//! Products of floats, eight chains a row, of four rows with three tokens: twelve vectors of sums, three of columns and one of weights
//! are all registers that there are. Left to the compiler, sums of one row went through memory, and F16 came to
//! 21 · 10⁹ multiply-adds a second from the first cache, where this comes to 48 (a core of a Zen 3, whose peak is 52).

use super::{load_floats, store_floats};
use blocks::{Bf16, F16, F32};

/// Makes a function that adds the products of eights of columns of four rows with three tokens to their chains: two eights of each
/// at a time, and of an odd number the first as the second of two. `$load` loads eight weights, `$convert` makes floats of them.
macro_rules! add_eights {
    ($name:ident, $weights:ty, $load:literal $(, $convert:literal)?) => {
        /// Adds the products of eights of columns of four rows with three tokens to their chains. All have as many.
        #[inline]
        #[target_feature(enable = "avx2,fma,f16c")]
        pub(crate) fn $name(sums: &mut [[[f32; 8]; 4]; 3], rows: [&[[$weights; 8]]; 4], x: [&[[f32; 8]]; 3]) {
            let n = rows[0].len();
            assert!(rows.iter().all(|row| row.len() == n) && x.iter().all(|x| x.len() == n), "{n} eights of each");
            if n == 0 {
                return;
            }
            let [[mut s00, mut s01, mut s02, mut s03], [mut s10, mut s11, mut s12, mut s13], [mut s20, mut s21, mut s22, mut s23]] =
                sums.each_ref().map(|sums| sums.each_ref().map(|sums| load_floats(sums)));
            // One eight of each: $at, eights ahead of `k`.
            macro_rules! eight {
                ($at:literal) => {
                    concat!(
                        "vmovups {x0}, [{x0_at} + {k} * 4 + 32 * ", $at, "]\n",
                        "vmovups {x1}, [{x1_at} + {k} * 4 + 32 * ", $at, "]\n",
                        "vmovups {x2}, [{x2_at} + {k} * 4 + 32 * ", $at, "]\n",
                        $load, " {w}, [{w0_at} + {k} * {size} + 8 * {size} * ", $at, "]\n", $($convert,)?
                        "vfmadd231ps {s00}, {w}, {x0}\n vfmadd231ps {s10}, {w}, {x1}\n vfmadd231ps {s20}, {w}, {x2}\n",
                        $load, " {w}, [{w1_at} + {k} * {size} + 8 * {size} * ", $at, "]\n", $($convert,)?
                        "vfmadd231ps {s01}, {w}, {x0}\n vfmadd231ps {s11}, {w}, {x1}\n vfmadd231ps {s21}, {w}, {x2}\n",
                        $load, " {w}, [{w2_at} + {k} * {size} + 8 * {size} * ", $at, "]\n", $($convert,)?
                        "vfmadd231ps {s02}, {w}, {x0}\n vfmadd231ps {s12}, {w}, {x1}\n vfmadd231ps {s22}, {w}, {x2}\n",
                        $load, " {w}, [{w3_at} + {k} * {size} + 8 * {size} * ", $at, "]\n", $($convert,)?
                        "vfmadd231ps {s03}, {w}, {x0}\n vfmadd231ps {s13}, {w}, {x1}\n vfmadd231ps {s23}, {w}, {x2}\n",
                    )
                };
            }
            // SAFETY: `k` goes by sixteen from 0, or from -8 without a first half, while it is less than 8 n: of each slice the `n`
            // eights are read once.
            unsafe {
                core::arch::asm!(
                    "test {k}, {k}",
                    "jnz 3f",
                    ".p2align 5",
                    "2:",
                    eight!("0"),
                    "3:",
                    eight!("1"),
                    "add {k}, 16",
                    "cmp {k}, {end}",
                    "jl 2b",
                    k = inout(reg) if n % 2 == 0 { 0 } else { -8_isize } => _, end = in(reg) 8 * n,
                    size = const size_of::<$weights>(),
                    w0_at = in(reg) rows[0].as_ptr(), w1_at = in(reg) rows[1].as_ptr(),
                    w2_at = in(reg) rows[2].as_ptr(), w3_at = in(reg) rows[3].as_ptr(),
                    x0_at = in(reg) x[0].as_ptr(), x1_at = in(reg) x[1].as_ptr(), x2_at = in(reg) x[2].as_ptr(),
                    x0 = out(ymm_reg) _, x1 = out(ymm_reg) _, x2 = out(ymm_reg) _, w = out(ymm_reg) _,
                    s00 = inout(ymm_reg) s00, s01 = inout(ymm_reg) s01, s02 = inout(ymm_reg) s02, s03 = inout(ymm_reg) s03,
                    s10 = inout(ymm_reg) s10, s11 = inout(ymm_reg) s11, s12 = inout(ymm_reg) s12, s13 = inout(ymm_reg) s13,
                    s20 = inout(ymm_reg) s20, s21 = inout(ymm_reg) s21, s22 = inout(ymm_reg) s22, s23 = inout(ymm_reg) s23,
                    options(readonly, nostack)
                );
            }
            let vectors = [[s00, s01, s02, s03], [s10, s11, s12, s13], [s20, s21, s22, s23]];
            for (sums, vector) in sums.as_flattened_mut().iter_mut().zip(vectors.as_flattened()) {
                store_floats(sums, *vector);
            }
        }
    };
}

add_eights!(add_f32, F32, "vmovups");
add_eights!(add_f16, F16, "vcvtph2ps");
add_eights!(add_bf16, Bf16, "vpmovzxwd", "vpslld {w}, {w}, 16\n");
