use super::*;
use crate::Isa;
use crate::random::Random;

/// Runs an operation at every level and with several threads: the same bits, and near the exact values.
fn check(x: &[f32], operation: impl Fn(&Team) -> Vec<f32>, exact: impl Fn(usize) -> f64) {
    let scalar = operation(&Team::new(1, Isa::Scalar).unwrap());
    assert_eq!(scalar.len(), x.len());
    for (i, &got) in scalar.iter().enumerate() {
        let exact = exact(i);
        assert!(
            (f64::from(got) - exact).abs() <= 1e-6 * exact.abs() + 1e-30,
            "float {i}: {got:e} for {exact:e}"
        );
    }
    for isa in Isa::available() {
        for n_threads in [1, 2, 3] {
            assert_eq!(operation(&Team::new(n_threads, isa).unwrap()), scalar, "{isa}, {n_threads} threads");
        }
    }
}

#[test]
fn norms() {
    for (n_rows, n_cols) in [(1, 1), (3, 17), (2, 64), (300, 100), (1, 5000)] {
        let x = Random(5).floats(n_rows * n_cols);
        let weight = Random(6).floats(n_cols);
        let norm = |team: &Team| {
            let mut out = vec![f32::NAN; x.len()];
            rms_norm(team, &x, &weight, 1e-5, &mut out);
            out
        };
        check(&x, norm, |i| {
            let row = &x[i / n_cols * n_cols..][..n_cols];
            let mean = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / n_cols as f64;
            f64::from(x[i]) / (mean + f64::from(1e-5f32)).sqrt() * f64::from(weight[i % n_cols])
        });
    }
}

#[test]
fn sums_and_gates() {
    for n in [0, 1, 15, 16, 17, 40_000] {
        let (x, y) = (Random(7).floats(n), Random(8).floats(n));
        let x: Vec<f32> = x.iter().map(|x| x * 20.0).collect();
        let apply = |f: fn(&Team, &mut [f32], &[f32])| {
            let (x, y) = (&x, &y);
            move |team: &Team| {
                let mut out = x.clone();
                f(team, &mut out, y);
                out
            }
        };
        check(&x, apply(add), |i| f64::from(x[i] + y[i]));
        check(&x, apply(silu_mul), |i| f64::from(x[i]) / (1.0 + (-f64::from(x[i])).exp()) * f64::from(y[i]));
    }
}
