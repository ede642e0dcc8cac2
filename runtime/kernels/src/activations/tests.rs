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

/// Sums of columns 4i and 4i + 1, and of the others.
fn of_pairs(q: &[i8]) -> [i32; 2] {
    [0, 1].map(|pair| {
        let of = q.iter().enumerate().filter(|(i, _)| i / 2 % 2 == pair);
        of.map(|(_, &q)| i32::from(q)).sum()
    })
}

#[test]
fn integers_are_the_nearest_and_their_sums_exact() {
    let mut x = Random(9).floats(1024);
    x[100] = 500.0;
    x[300..600].fill(0.0);
    x[700..800].fill(1e-40);
    for isa in Isa::available() {
        let activations = packed(isa, &x);
        let part = Part { tokens: 0..1, columns: 0..x.len() };
        let (per_32, per_256) = (activations.per_32(&part), activations.per_256(&part));
        assert_eq!((per_32.n_runs(), per_256.n_runs()), (4, 4));
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
        for (run, x) in x.chunks(256).enumerate() {
            let ([run_32], [run_256]) = (per_32.at(run), per_256.at(run)) else { panic!("one token") };
            for (b, x) in x.chunks(32).enumerate() {
                let (q, d, sum) = (&run_32.q[b], run_32.d[b], run_32.sums[b]);
                check(x, q, d);
                assert_eq!(sum, q.iter().map(|&q| i32::from(q)).sum::<i32>());
                assert_eq!(run_32.s[b], sum as f32 * d);
                assert_eq!(run_32.offsets[b].map(i32::from), of_pairs(q).map(|sum| -8 * sum));
            }
            check(x, run_256.q.as_flattened(), run_256.d);
            for (sum, q) in run_256.sums.iter().zip(run_256.q) {
                assert_eq!(*sum, q.iter().map(|&q| i16::from(q)).sum::<i16>());
            }
            for (sums, of_32) in run_256.sums.chunks(2).zip(run_256.sums_of_32) {
                assert_eq!(sums.iter().sum::<i16>(), of_32);
            }
            for (offsets, q) in run_256.offsets.iter().zip(&run_256.q) {
                assert_eq!(offsets.map(i32::from), of_pairs(q).map(|sum| -32 * sum));
            }
            for (sum, q) in run_256.sums_of_8.iter().zip(run_256.q.as_flattened().chunks(8)) {
                assert_eq!(*sum, q.iter().map(|&q| i16::from(q)).sum::<i16>());
            }
        }
    }
}

#[test]
fn every_level_packs_the_same_bits() {
    let x = Random(10).floats(4096);
    let (scalar, part) = (packed(Isa::Scalar, &x), Part { tokens: 0..1, columns: 0..x.len() });
    for isa in Isa::available() {
        let other = packed(isa, &x);
        for run in 0..16 {
            let [a, b] = [&scalar, &other].map(|x| (x.per_32(&part).at(run)[0], x.per_256(&part).at(run)[0]));
            assert_eq!((a.0.q, a.0.d), (b.0.q, b.0.d), "{isa}");
            assert_eq!((a.1.q, a.1.d), (b.1.q, b.1.d), "{isa}");
        }
    }
}

#[test]
fn what_is_no_number_shows() {
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for isa in Isa::available() {
            let mut x = vec![1.0; 256];
            x[40] = bad;
            let activations = packed(isa, &x);
            let part = Part { tokens: 0..1, columns: 0..256 };
            let (per_32, per_256) = (activations.per_32(&part).at(0)[0], activations.per_256(&part).at(0)[0]);
            assert_eq!(per_32.q[1], [0; 32]);
            assert!(per_32.d[1].is_nan() && per_256.d.is_nan());
            assert_eq!(per_32.d[0], 1.0 / 127.0);
        }
    }
}

#[test]
fn each_token_has_its_row_and_what_a_row_has_not_is_zero() {
    let (n_tokens, n_cols) = (70, 288);
    let x: Vec<f32> = (0..n_tokens * n_cols).map(|i| (i / n_cols) as f32 + 1.0).collect();
    for isa in Isa::available() {
        let mut activations = Activations::new(n_tokens, n_cols, &[TensorType::Q4_0]);
        activations.pack(&Team::new(2, isa).unwrap(), &x, n_cols, &[TensorType::Q4_0]);
        let some = activations.per_32(&Part { tokens: 3..68, columns: 0..288 });
        assert_eq!((some.n_cols(), some.n_runs(), some.at(1).len()), (288, 2, 65));
        let last = activations.per_32(&Part { tokens: 3..68, columns: 256..288 });
        assert_eq!((last.n_cols(), last.n_runs(), last.at(0).len()), (32, 1, 65));
        for (token, (run, same)) in some.at(1).iter().zip(last.at(0)).enumerate() {
            assert_eq!(run.q, same.q);
            let d = (token + 4) as f32 / 127.0;
            assert_eq!(run.d, [d, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], "{isa}");
            assert_eq!((run.q[0], run.q[1], run.sums[1]), ([127; 32], [0; 32], 0), "{isa}");
        }
    }
}

#[test]
fn the_plan_knows_the_bytes() {
    let types = [TensorType::Q8_0, TensorType::Q6K];
    // A run in whole lines: int8, and for each 32 a scale, a sum, its product and two offsets, or a scale, 56 sums and
    // 32 offsets.
    assert_eq!(Activations::n_bytes(10, 512, &types), 10 * 2 * (384 + 448));
    // Floats in an odd number of lines.
    assert_eq!(Activations::n_bytes(10, 512, &[TensorType::F16, TensorType::Bf16]), 10 * 33 * 64);
}
