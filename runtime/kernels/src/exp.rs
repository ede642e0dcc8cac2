//! eˣ as one polynomial: the same operations in the same order at every level, and within 2 units in the last place.
#![forbid(unsafe_code)]

/// 1.5 · 2²³: adding it rounds a small number to nearest even and leaves it in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// ln 2 in two parts; the first has its low bits clear, so that its product with a whole number is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Where eˣ is nearly the smallest normal number. Below it is taken for 0: sums of numbers that are smaller yet are
/// subnormal, which some processors compute in a hundred cycles.
const LEAST: f32 = -87.0;

/// Where eˣ is nearly the largest number. Beyond it is taken for that.
const MOST: f32 = 88.0;

/// eˣ; a NaN stays one.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let is_nothing = x < LEAST;
    let x = if is_nothing { LEAST } else { x };
    let x = if x > MOST { MOST } else { x };
    // x = n · ln 2 + r with |r| ≤ ln 2 / 2.
    let shifted = x.mul_add(core::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    // Taylor's series: at |r| = 0.347 its first missing term is 1.2e-8 of the result for degree 6.
    let p = (1.0f32 / 720.0).mul_add(r, 1.0 / 120.0);
    let p = p.mul_add(r, 1.0 / 24.0);
    let p = p.mul_add(r, 1.0 / 6.0);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r, 1.0);
    let p = p.mul_add(r, 1.0);
    // n is in −126…127, so 2ⁿ is a normal number.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if is_nothing { 0.0 } else { p * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_the_exact_value_everywhere() {
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.0 * f64::from(f32::EPSILON), "exp({x}): relative error {error:e}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(LEAST.next_down()), 0.0);
        assert_eq!(exp(f32::INFINITY), exp(MOST));
        assert!(exp(f32::NAN).is_nan());
    }
}
