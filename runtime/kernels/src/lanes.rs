//! Sums over 16 virtual lanes: number `i` goes to lane `i mod 16`, then the lanes are added by a fixed tree. Two
//! registers of AVX2, four of NEON, a loop of the scalar: the same additions in the same order everywhere.
#![forbid(unsafe_code)]

/// Virtual lanes.
pub(crate) const LANES: usize = 16;

/// The tree: lanes 8 apart, then as [`join`].
#[inline(always)]
fn join_all(lanes: [f32; LANES], of: impl Fn(f32, f32) -> f32) -> f32 {
    join(std::array::from_fn(|i| of(lanes[i], lanes[i + 8])), of)
}

/// Of eight: lanes 4 apart, then 2 and 1. Each step is an array of its own: a loop over widths stays one.
#[inline(always)]
pub(crate) fn join(lanes: [f32; 8], of: impl Fn(f32, f32) -> f32) -> f32 {
    let lanes: [f32; 4] = std::array::from_fn(|i| of(lanes[i], lanes[i + 4]));
    of(of(lanes[0], lanes[2]), of(lanes[1], lanes[3]))
}

#[inline(always)]
fn total(lanes: [f32; LANES]) -> f32 {
    join_all(lanes, |a, b| a + b)
}

/// `Σ x·y`, by fused multiply-adds.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x.iter().zip(y) {
        for i in 0..LANES {
            lanes[i] = x[i].mul_add(y[i], lanes[i]);
        }
    }
    for (lane, (&x, &y)) in lanes.iter_mut().zip(x_rest.iter().zip(y_rest)) {
        *lane = x.mul_add(y, *lane);
    }
    total(lanes)
}

/// `Σ x`.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (x, rest) = x.as_chunks::<LANES>();
    for x in x {
        for i in 0..LANES {
            lanes[i] += x[i];
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += x;
    }
    total(lanes)
}

/// The largest number, `least` at least; a NaN is passed over. No order changes it, so the lanes only make it fast.
#[inline(always)]
pub(crate) fn max(x: &[f32], least: f32) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [least; LANES];
    let (x, rest) = x.as_chunks::<LANES>();
    for x in x {
        for i in 0..LANES {
            lanes[i] = larger(lanes[i], x[i]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, x);
    }
    join_all(lanes, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_numbers_are_summed_once() {
        for n in 0..70u16 {
            let x: Vec<f32> = (0..n).map(f32::from).collect();
            let exact = f32::from(n) * (f32::from(n) - 1.0) / 2.0;
            assert_eq!(sum(&x), exact, "{n}");
            assert_eq!(max(&x, -1.0), if n == 0 { -1.0 } else { f32::from(n) - 1.0 }, "{n}");
            assert_eq!(max(&x, 1000.0), 1000.0, "{n}");
            assert_eq!(dot(&x, &vec![2.0; x.len()]), 2.0 * exact, "{n}");
        }
    }
}
