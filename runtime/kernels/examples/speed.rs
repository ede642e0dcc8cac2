//! How fast the kernels are here: `cargo run --release -p llamita-kernels --example speed [ISA] [THREADS] [TYPE]…`.
//!
//! Decode is one token with 256 MiB of weights, in GB/s of weights, beside the read bandwidth of the same minute; prefill is
//! 128 tokens, in 10⁹ multiply-adds a second, beside the level's peak of the same minute (float weights may pass a slow
//! level's). Rows are of 4096 weights; figures are medians.
#![forbid(unsafe_code)]

use blocks::TensorType;
use llamita_kernels::{Activations, Isa, Packing, Product, Rows, Team, int8_peak, matmul, read_bandwidth};
use std::time::{Duration, Instant};

const N_COLS: usize = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let isa: Isa = arguments.next().map_or(Ok(Isa::detect()), |name| name.parse())?;
    let team = Team::new(arguments.next().map_or(Ok(2), |n| n.parse())?, isa)?;
    let only: Vec<String> = arguments.collect();
    let wanted = |ty: TensorType| only.is_empty() || only.contains(&ty.to_string());
    println!("{isa}, {} threads", team.n_threads());
    println!(
        "{:>6} {:>12} {:>12} {:>8} {:>14} {:>12} {:>8}",
        "type", "decode GB/s", "reads GB/s", "share", "prefill GMAC/s", "int8 GMAC/s", "share"
    );
    for ty in TensorType::all().filter(|&ty| Packing::of(ty).is_some() && wanted(ty)) {
        let row_bytes = ty.row_bytes(N_COLS as u64).expect("whole blocks") as usize;
        // Bits that are no halves of weird size: a NaN costs what a number costs, but a subnormal may not.
        let bytes = vec![0x2a; (256 << 20) / row_bytes * row_bytes];
        let limit = read_bandwidth(&team, Duration::from_millis(300)) / 1e9;
        let decode = bytes.len() as f64 / seconds(&team, Rows { ty, n_cols: N_COLS, bytes: &bytes }, 1) / 1e9;
        let some = Rows { ty, n_cols: N_COLS, bytes: &bytes[..1024 * row_bytes] };
        let prefill = (128 * 1024 * N_COLS) as f64 / seconds(&team, some, 128) / 1e9;
        let peak = int8_peak(&team, Duration::from_millis(50)) / 1e9;
        println!(
            "{ty:>6} {decode:>12.1} {limit:>12.1} {:>8.2} {prefill:>14.1} {peak:>12.1} {:>8.2}",
            decode / limit,
            prefill / peak
        );
    }
    Ok(())
}

/// Median time of a product.
fn seconds(team: &Team, weights: Rows<'_>, n_tokens: usize) -> f64 {
    let x: Vec<f32> = (0..n_tokens * N_COLS).map(|i| (i * 7919 % 2001) as f32 / 1000.0 - 1.0).collect();
    let mut activations = Activations::new(n_tokens, N_COLS, &[weights.ty]);
    activations.pack(team, &x, N_COLS, &[weights.ty]);
    let stride = weights.n_rows();
    let mut out = vec![0.0; n_tokens * stride];
    let mut times: Vec<Duration> = (0..9)
        .map(|_| {
            let start = Instant::now();
            matmul(team, &activations, &mut [Product { weights, out: &mut out, stride, first: 0 }]);
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2].as_secs_f64()
}
