//! How fast attention is here: `cargo run --release -p llamita-kernels --example attention [ISA] [THREADS] [POSITIONS]`.
//!
//! One layer with heads of 128 floats and 4096 positions in the cache. Decode is one token, in GB/s of cache, beside the
//! read bandwidth of the same minute; prefill is 128 tokens, in 10⁹ multiply-adds a second, beside the peak of fused
//! multiply-adds of floats. Caches of decode are many, so that none is in a cache of the processor; figures are medians.
#![forbid(unsafe_code)]

use llamita_kernels::{
    Attention, CacheType, CacheTypes, Isa, NewTokens, Team, attention, f32_peak, read_bandwidth, store,
};
use std::time::{Duration, Instant};

const HEAD_DIM: usize = 128;
const N_HEADS: usize = 32;
const N_PREFILL: usize = 128;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let isa: Isa = arguments.next().map_or(Ok(Isa::detect()), |name| name.parse())?;
    let team = Team::new(arguments.next().map_or(Ok(2), |n| n.parse())?, isa)?;
    let n_positions: usize = arguments.next().map_or(Ok(4096), |n| n.parse())?;
    println!("{isa}, {} threads, {n_positions} positions", team.n_threads());
    println!(
        "{:>7} {:>6} {:>10} {:>12} {:>12} {:>6} {:>14} {:>12} {:>6}",
        "heads",
        "cache",
        "decode ms",
        "decode GB/s",
        "reads GB/s",
        "share",
        "prefill GMAC/s",
        "FMA GMAC/s",
        "share"
    );
    for n_kv_heads in [N_HEADS, N_HEADS / 4] {
        for ty in CacheType::ALL {
            let layer = Layer::new(&team, ty, n_kv_heads, n_positions);
            let limit = read_bandwidth(&team, Duration::from_millis(200)) / 1e9;
            let decode = layer.seconds(&team, 1, n_positions);
            let rate = layer.n_bytes as f64 / decode / 1e9;
            let peak = f32_peak(&team, Duration::from_millis(50)) / 1e9;
            let macs = (2 * N_PREFILL * N_HEADS * HEAD_DIM) as f64 * (n_positions - N_PREFILL / 2) as f64;
            let prefill = macs / layer.seconds(&team, N_PREFILL, n_positions) / 1e9;
            println!(
                "{N_HEADS:>4}/{n_kv_heads:<2} {ty:>6} {:>10.3} {rate:>12.1} {limit:>12.1} {:>6.2} {prefill:>14.1} {peak:>12.1} {:>6.2}",
                decode * 1e3,
                rate / limit,
                prefill / peak
            );
        }
    }
    Ok(())
}

/// Caches of the same shape, one after the other: more than any cache of the processor holds.
struct Layer {
    types: CacheTypes,
    n_kv_heads: usize,
    /// Of one cache.
    n_bytes: usize,
    caches: Vec<[Vec<u8>; 2]>,
}

impl Layer {
    fn new(team: &Team, ty: CacheType, n_kv_heads: usize, n_positions: usize) -> Self {
        let types = CacheTypes::both(ty);
        let half_bytes = n_kv_heads * n_positions * ty.position_bytes(HEAD_DIM);
        let mut cache = [(); 2].map(|()| vec![0; half_bytes]);
        let [k_cache, v_cache] = &mut cache;
        let n_cols = n_kv_heads * HEAD_DIM;
        for first in (0..n_positions).step_by(64) {
            let [k, v] = [1, 2].map(|seed| floats(64 * n_cols, seed + first));
            let new =
                NewTokens { k: &k, v: &v, k_cache, v_cache, types, n_kv_heads, head_dim: HEAD_DIM, first };
            store(team, new);
        }
        let n_bytes = 2 * half_bytes;
        let n_caches = (1usize << 30).div_ceil(n_bytes);
        Self { types, n_kv_heads, n_bytes, caches: vec![cache; n_caches] }
    }

    /// Median time of attention for the last tokens.
    fn seconds(&self, team: &Team, n_tokens: usize, n_positions: usize) -> f64 {
        let q = floats(n_tokens * N_HEADS * HEAD_DIM, 3);
        let mut out = vec![0.0; q.len()];
        let n_times = if n_tokens == 1 { self.caches.len() } else { 3 };
        let mut times: Vec<Duration> = (0..n_times)
            .map(|i| {
                let [k_cache, v_cache] = &self.caches[i % self.caches.len()];
                let operation = Attention {
                    q: &q,
                    k_cache,
                    v_cache,
                    types: self.types,
                    n_heads: N_HEADS,
                    n_kv_heads: self.n_kv_heads,
                    head_dim: HEAD_DIM,
                    first: n_positions - n_tokens,
                    out: &mut out,
                };
                let start = Instant::now();
                attention(team, operation);
                start.elapsed()
            })
            .collect();
        times.sort();
        times[times.len() / 2].as_secs_f64()
    }
}

fn floats(n: usize, seed: usize) -> Vec<f32> {
    (seed..seed + n).map(|i| (i * 7919 % 2001) as f32 / 1000.0 - 1.0).collect()
}
