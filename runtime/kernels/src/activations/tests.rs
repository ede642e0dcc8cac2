use super::*;
use crate::Isa;
use crate::random::Random;

/// Packs one token's floats at a level.
fn packed(isa: Isa, x: &[f32]) -> Activations {
    let types = [TensorType::Q4_0, TensorType::Q6K, TensorType::F32];
    let mut activations = Activations::new(1, x.len(), &types);
    activations.pack(&Team::new(1, isa).unwrap(), x, x.len(), &types);
    activations
}

#[test]
fn integers_are_the_nearest_and_their_sums_exact() {
    let mut x = Random(9).floats(1024);
    x[100] = 500.0;
    x[300..600].fill(0.0);
    x[700..800].fill(1e-40);
    for isa in Isa::available() {
        let activations = packed(isa, &x);
        let (per_32, per_256) = (activations.per_32(0..1), activations.per_256(0..1));
        let check = |x: &[f32], q: &[i8], d: f32| {
            for (&x, &q) in x.iter().zip(q) {
                assert!(q >= -127);
                let error = (f64::from(x) - f64::from(q) * f64::from(d)).abs();
                assert!(
                    error <= f64::from(d) * 0.500_01 || (d == 0.0 && error < 2e-35),
                    "{isa}: {q} · {d} for {x}"
                );
            }
        };
        for (run, x) in x.chunks(32).enumerate() {
            let (q, d, sum) = (&per_32.q[run], per_32.d[run], per_32.sums[run]);
            check(x, q, d);
            assert_eq!(sum.q, q.iter().map(|&q| i32::from(q)).sum::<i32>());
            assert_eq!(sum.s, sum.q as f32 * d);
        }
        for (run, x) in x.chunks(256).enumerate() {
            check(x, &per_256.q[run], per_256.d[run]);
            for (sum, q) in per_256.sums[run].iter().zip(per_256.q[run].chunks(16)) {
                assert_eq!(*sum, q.iter().map(|&q| i16::from(q)).sum::<i16>());
            }
        }
    }
}

#[test]
fn every_level_packs_the_same_bits() {
    let x = Random(10).floats(4096);
    let scalar = packed(Isa::Scalar, &x);
    for isa in Isa::available() {
        let other = packed(isa, &x);
        assert_eq!(scalar.per_32(0..1).q, other.per_32(0..1).q, "{isa}");
        assert_eq!(scalar.per_32(0..1).d, other.per_32(0..1).d, "{isa}");
        assert_eq!(scalar.per_256(0..1).q, other.per_256(0..1).q, "{isa}");
        assert_eq!(scalar.per_256(0..1).d, other.per_256(0..1).d, "{isa}");
    }
}

#[test]
fn what_is_no_number_shows() {
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for isa in Isa::available() {
            let mut x = vec![1.0; 256];
            x[40] = bad;
            let activations = packed(isa, &x);
            assert_eq!(activations.per_32(0..1).q[1], [0; 32]);
            assert!(activations.per_32(0..1).d[1].is_nan() && activations.per_256(0..1).d[0].is_nan());
            assert_eq!(activations.per_32(0..1).d[0], 1.0 / 127.0);
        }
    }
}

#[test]
fn the_plan_knows_the_bytes() {
    let types = [TensorType::Q8_0, TensorType::Q6K];
    // int8, and a scale (and for 32 a sum and its product) a run.
    assert_eq!(Activations::n_bytes(10, 512, &types), 10 * (512 + 16 * 12) + 10 * (512 + 2 * (4 + 32)));
    assert_eq!(Activations::n_bytes(10, 512, &[TensorType::F16, TensorType::Bf16]), 10 * 512 * 4);
}
