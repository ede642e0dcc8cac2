use blocks::TensorType;
use llamita_kernels::{Activations, Isa, Team};
use std::time::Instant;
fn main() {
    let isa: Isa = std::env::args().nth(1).map_or(Isa::detect(), |n| n.parse().unwrap());
    let team = Team::new(1, isa).unwrap();
    for ty in [TensorType::Q4_0, TensorType::Q4K] {
        for (n, cols) in [(512, 4096), (512, 11008), (8, 4096)] {
            let x: Vec<f32> = (0..n * cols).map(|i| (i * 7919 % 2001) as f32 / 1000.0 - 1.0).collect();
            let mut a = Activations::new(n, cols, &[ty]);
            let mut best = f64::MAX;
            for _ in 0..40 {
                let t = Instant::now();
                a.pack(&team, &x, cols, &[ty]);
                best = best.min(t.elapsed().as_secs_f64());
            }
            println!("{ty} {n}x{cols}: {:.3} ns a float", best * 1e9 / (n * cols) as f64);
        }
    }
}
