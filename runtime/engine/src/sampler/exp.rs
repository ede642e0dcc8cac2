//! e to the power of x, the same bits everywhere.
//!
//! The standard library's `exp` is the platform's, and platforms differ in the last bit: enough to draw another token
//! from the same seed. This one is made of additions and multiplications that IEEE 754 defines exactly.

use std::f64::consts::LOG2_E;

/// ln 2 in two parts. The first has 21 trailing zero bits, so that its product with a small integer is exact.
const LN_2_HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEE0_0000);
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// 1/13!, 1/12!, … 1/0!: the series up to where a term is below the rounding, for |x| ≤ ln 2 / 2.
const SERIES: [f64; 14] = {
    let mut series = [1.0; 14];
    let mut n = 1;
    let mut factorial = 1.0;
    while n < 14 {
        factorial *= n as f64;
        series[13 - n] = 1.0 / factorial;
        n += 1;
    }
    series
};

/// e^x for x ≤ 0, within 2 units in the last place; 0 where it would be below the normal numbers.
pub(super) fn exp(x: f64) -> f64 {
    debug_assert!(x <= 0.0, "{x}");
    if x < -708.0 {
        return 0.0;
    }
    // x = n · ln 2 + r, so that e^x = 2^n · e^r.
    let n = (x * LOG2_E).round();
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let e_r = SERIES.iter().fold(0.0, |sum, term| sum * r + term);
    let two_n = f64::from_bits(((n as i64 + 1023) as u64) << 52);
    e_r * two_n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_close_to_the_platforms() {
        for step in 0..708_000 {
            let x = -f64::from(step) / 1000.0;
            let expected = x.exp();
            assert!((exp(x) - expected).abs() <= 2.0 * f64::EPSILON * expected, "{x}: {} {expected}", exp(x));
        }
    }

    #[test]
    fn has_its_ends() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(-709.0), 0.0);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp(f64::from(f32::MIN) - f64::from(f32::MAX)), 0.0);
    }

    /// The bits, so that another platform (or compiler) that gives others is found out.
    #[test]
    fn gives_these_bits() {
        for (x, bits) in
            [(-0.1, 0x3fec_f46d_99d5_2b3a_u64), (-1.0, 0x3fd7_8b56_362c_ef38), (-33.3, 0x3cef_165b_b9b5_9d94)]
        {
            assert_eq!(exp(x).to_bits(), bits, "exp({x}) = {:#x}", exp(x).to_bits());
        }
    }
}
