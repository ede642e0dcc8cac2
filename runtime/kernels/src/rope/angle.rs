//! Elementary functions in f64, by additions, multiplications and fused multiply-adds alone: a system's own differ in
//! the last bit from each other, and a text must not depend on that. Short series, as a token needs only a few dozen.

#![forbid(unsafe_code)]

use core::f64::consts::{FRAC_2_PI, LOG2_E};

/// π/2 and ln 2 as sums of two, whose first parts are the nearest numbers.
const HALF_PI: (f64, f64) = (core::f64::consts::FRAC_PI_2, 6.123_233_995_736_766e-17);
const LN_2: (f64, f64) = (core::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);

/// The natural logarithm of a positive, normal number.
pub(super) fn ln(x: f64) -> f64 {
    // x = m · 2ᵉ with m in 1…2, and ln m = 2 artanh z with z = (m − 1) / (m + 1) ≤ 1/3.
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i32 - 1023;
    let m = f64::from_bits(bits & !(0xFFF << 52) | 1023 << 52);
    let z = (m - 1.0) / (m + 1.0);
    // zᵏ/k up to k = 33: the next is below 3⁻³⁵ ≈ 2e-17.
    let series = (0..=16).rev().fold(0.0, |sum, k| sum * (z * z) + 1.0 / f64::from(2 * k + 1));
    2.0 * z * series + f64::from(exponent) * LN_2.0
}

/// eˣ, for results that are normal numbers.
pub(super) fn exp(x: f64) -> f64 {
    let n = (x * LOG2_E).round_ties_even();
    let r = n.mul_add(-LN_2.1, n.mul_add(-LN_2.0, x));
    // |r| ≤ 0.347: r¹⁵/15! is below 1e-19.
    let series = (1..15).rev().fold(1.0, |sum, k| 1.0 + sum * r / f64::from(k));
    series * f64::from_bits(((n as i64 + 1023) as u64) << 52)
}

/// Sine and cosine. For |x| up to 2³⁰ the error is that of x's own rounding.
pub(super) fn sin_cos(x: f64) -> (f64, f64) {
    let n = (x * FRAC_2_PI).round_ties_even();
    let r = n.mul_add(-HALF_PI.1, n.mul_add(-HALF_PI.0, x));
    // |r| ≤ 0.786: r¹⁹/19! and r²⁰/20! are below 1e-19.
    let square = r * r;
    let sin = r * series(square, 1);
    let cos = series(square, 0);
    match n as i64 & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// `1 − s/((o+1)(o+2)) + s²/((o+1)…(o+4)) − …`: the series of the cosine (o = 0) and of the sine over r (o = 1).
fn series(square: f64, o: u32) -> f64 {
    (0..9).rev().fold(1.0, |sum, k| 1.0 - sum * square / f64::from((2 * k + o + 1) * (2 * k + o + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_the_systems_own() {
        for i in 0..200_000 {
            let x = f64::from(i) * 0.731_234_567 * if i % 2 == 0 { 1.0 } else { -1.0 };
            let (sin, cos) = sin_cos(x);
            assert!((sin - x.sin()).abs() < 1e-15 && (cos - x.cos()).abs() < 1e-15, "sin_cos({x})");
        }
        for i in 1..20_000 {
            let x = f64::from(i) * 51.3;
            assert!((ln(x) - x.ln()).abs() < 1e-14, "ln({x})");
            let y = f64::from(i) * -0.001;
            assert!((exp(y) - y.exp()).abs() <= 1e-15 * y.exp(), "exp({y})");
        }
        let (sin, cos) = sin_cos(1e6);
        assert!((sin - 1e6f64.sin()).abs() < 1e-12 && (cos - 1e6f64.cos()).abs() < 1e-12);
        assert_eq!((ln(1.0), exp(0.0), sin_cos(0.0)), (0.0, 1.0, (0.0, 1.0)));
    }
}
