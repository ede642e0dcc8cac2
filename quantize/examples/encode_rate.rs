//! What the encoders lose and how fast they are, on this machine and on one core:
//! `cargo run --release -p llamita-quantize --example encode_rate`, with the types' names behind `--` where not all are asked.

use blocks::{Block, TensorType, with_block};
use std::time::Instant;

/// For the errors' average.
const N_WEIGHTS: usize = 1 << 20;

/// For the rate, of which the best counts: what `TensorStream` encodes at a time.
const N_TIMED: usize = 1 << 16;

fn main() {
    let weights = gaussian(N_WEIGHTS);
    let power = weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>();
    println!("type    Mweights/s   RMSE / RMS");
    let asked: Vec<String> = std::env::args().skip(1).collect();
    for ty in TensorType::all().filter(|ty| asked.is_empty() || asked.iter().any(|name| name == ty.name())) {
        with_block!(ty, B => {
            let mut out = vec![0u8; N_WEIGHTS / B::LEN * size_of::<B>()];
            llamita_quantize::encode(ty, &weights, None, &mut out);
            let rates = weights.chunks(N_TIMED).cycle().take(64).map(|weights| {
                let mut out = vec![0u8; N_TIMED / B::LEN * size_of::<B>()];
                let start = Instant::now();
                llamita_quantize::encode(ty, weights, None, &mut out);
                N_TIMED as f64 / start.elapsed().as_secs_f64() / 1e6
            });
            let rate = rates.fold(0.0, f64::max);
            let mut decoded = vec![0.0; N_WEIGHTS];
            blocks::decode::<B>(blocks::from_bytes(&out), &mut decoded);
            let error = weights.iter().zip(&decoded).map(|(&a, &b)| f64::from(a - b).powi(2)).sum::<f64>();
            println!("{:6}  {rate:10.0}   {:.6}", ty.name(), (error / power).sqrt());
        }, else ());
    }
}

/// Normally distributed, by Box and Muller, from a fixed seed.
fn gaussian(n: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 40) as f64 + 0.5) / (1u64 << 24) as f64
    };
    (0..n)
        .map(|_| ((-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos() * 0.02) as f32)
        .collect()
}
