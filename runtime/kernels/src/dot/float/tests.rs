use super::{CHAINS, add_eights, multiply, scalar};
use crate::activations::{Activations, Part};
use crate::random::Random;
use crate::unpack::{PANEL_ROWS, Panel};
use crate::{Isa, Team, lanes};
use blocks::{F32, TensorType};

/// What a level with sixteen lanes brings, as plain code: it can be tested where there is no such level.
#[test]
fn vectors_of_two_rows_give_the_bits_of_the_scalar() {
    const T: usize = 6;
    let mut random = Random(7);
    let team = Team::new(1, Isa::Scalar).unwrap();
    for n_cols in [1, 7, 8, 9, 64, 250] {
        for n_rows in [1, 2, 7, 8, 9, 31, 32] {
            let weights: Vec<F32> =
                random.floats(n_rows * n_cols).iter().map(|w| F32(w.to_le_bytes())).collect();
            let x = random.floats(T * n_cols);
            let mut activations = Activations::new(T, n_cols, &[TensorType::F32]);
            activations.pack(&team, &x, n_cols, &[TensorType::F32]);
            let x = activations.floats(&Part { tokens: 0..T, columns: 0..n_cols });
            let panel = Panel::new(&weights, n_cols, 0, 0..n_cols, (1, 0));
            let [mut expected, mut found] = [[[0.0; PANEL_ROWS]; T]; 2];
            scalar::multiply(panel, x, &mut expected, |w| w.to_f32());
            let load = |[a, b]: [&[F32; CHAINS]; 2]| {
                std::array::from_fn(|i| if i < CHAINS { a[i].to_f32() } else { b[i - CHAINS].to_f32() })
            };
            let add = |sums: &mut [f32; 16], w: &[f32; 16], x: &[f32; CHAINS]| {
                for i in 0..16 {
                    sums[i] = w[i].mul_add(x[i % CHAINS], sums[i]);
                }
            };
            multiply::<16, 2, 4, T, F32>(
                panel,
                0..n_rows,
                x,
                &mut found,
                true,
                |sums, rows, x, ahead| add_eights(sums, rows, x, ahead, load, add),
                |chains| chains.map(|chains| lanes::join(chains, |a, b| a + b)),
            );
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!(expected[..n_rows], found[..n_rows], "{n_rows} rows of {n_cols}");
            }
        }
    }
}
