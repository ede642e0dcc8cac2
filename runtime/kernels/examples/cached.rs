//! How fast the kernels are on one core where nothing waits for memory, on a machine that others use, too:
//! `cargo run --release -p llamita-kernels --example cached [ISA] [TYPE]…`.
//!
//! 64 rows of 4096 weights, so that they stay in the caches: GB/s of weights for a token alone, and 10⁹ multiply-adds a second
//! for 126 tokens. Figures are the best of many runs of less than a millisecond, types by turns, beside the best of the int8 units.
#![forbid(unsafe_code)]

use blocks::TensorType;
use llamita_kernels::{Activations, Isa, Packing, Product, Rows, Team, int8_peak, matmul};
use std::time::{Duration, Instant};

const N_COLS: usize = 4096;
const N_ROWS: usize = 64;
const N_TOKENS: usize = 126;
const ROUNDS: usize = 150;

/// Runs in a row: the first of them brings what others have driven out of the caches.
const IN_A_ROW: usize = 4;

/// A type, its weights, and activations of one token and of many with the shortest time of each.
struct Subject {
    ty: TensorType,
    bytes: Vec<u8>,
    runs: [(Activations, Duration); 2],
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let isa: Isa = arguments.next().map_or(Ok(Isa::detect()), |name| name.parse())?;
    let team = Team::new(1, isa)?;
    let only: Vec<String> = arguments.collect();
    let wanted = |ty: TensorType| only.is_empty() || only.contains(&ty.to_string());
    let mut subjects: Vec<Subject> = TensorType::all()
        .filter(|&ty| Packing::of(ty).is_some() && wanted(ty))
        .map(|ty| {
            let row_bytes = ty.row_bytes(N_COLS as u64).expect("whole blocks") as usize;
            let runs = [1, N_TOKENS].map(|n_tokens| (activations(&team, ty, n_tokens), Duration::MAX));
            Subject { ty, bytes: vec![0x2a; N_ROWS * row_bytes], runs }
        })
        .collect();
    let mut out = vec![0.0; N_TOKENS * N_ROWS];
    let mut peak = 0.0_f64;
    for _ in 0..ROUNDS {
        peak = peak.max(int8_peak(&team, Duration::ZERO));
        for Subject { ty, bytes, runs } in &mut subjects {
            for (activations, best) in runs {
                for _ in 0..IN_A_ROW {
                    let weights = Rows { ty: *ty, n_cols: N_COLS, bytes };
                    let mut product = [Product { weights, out: &mut out, stride: N_ROWS, first: 0 }];
                    let start = Instant::now();
                    matmul(&team, activations, &mut product);
                    *best = start.elapsed().min(*best);
                }
            }
        }
    }
    println!(
        "{isa}, int8 units {:.0} GMAC/s\n{:>6} {:>12} {:>14}",
        peak / 1e9,
        "type",
        "decode GB/s",
        "prefill GMAC/s"
    );
    for Subject { ty, bytes, runs: [(_, one), (_, many)] } in &subjects {
        let decode = bytes.len() as f64 / one.as_secs_f64() / 1e9;
        let prefill = (N_TOKENS * N_ROWS * N_COLS) as f64 / many.as_secs_f64() / 1e9;
        println!("{ty:>6} {decode:>12.1} {prefill:>14.1}");
    }
    Ok(())
}

fn activations(team: &Team, ty: TensorType, n_tokens: usize) -> Activations {
    let x: Vec<f32> = (0..n_tokens * N_COLS).map(|i| (i * 7919 % 2001) as f32 / 1000.0 - 1.0).collect();
    let mut activations = Activations::new(n_tokens, N_COLS, &[ty]);
    activations.pack(team, &x, N_COLS, &[ty]);
    activations
}
