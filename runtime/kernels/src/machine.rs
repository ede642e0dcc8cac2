//! What this machine can do, measured: the limits that a benchmark compares with.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod dotprod;
#[cfg(target_arch = "aarch64")]
mod i8mm;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use crate::isa::dispatch;
use crate::{Isa, Team};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Memory that is read: far beyond any cache that a small machine has.
const WORDS: usize = (256 << 20) / size_of::<u64>();

/// Words that a thread reads at a time: 1 MiB.
const CHUNK: usize = (1 << 20) / size_of::<u64>();

/// Bytes a second that the team's threads read together from memory, in a plain loop: the best of the passes over
/// 256 MiB that fit into `time`, of at least one.
pub fn read_bandwidth(team: &Team, time: Duration) -> f64 {
    // Written, not only reserved: pages that were never touched are all the same page of zeros.
    let mut words = vec![0u64; WORDS];
    team.for_each_piece(&mut words, CHUNK, |_, piece| piece.fill(1));
    let (isa, start) = (team.isa(), Instant::now());
    let mut best = Duration::MAX;
    while best == Duration::MAX || start.elapsed() < time {
        let pass = Instant::now();
        team.for_each(WORDS, CHUNK, |range| {
            let piece = &words[range];
            black_box(isa.run(
                #[inline(always)]
                || piece.as_chunks::<32>().0.iter().fold([0u64; 32], sum),
            ));
        });
        best = best.min(pass.elapsed());
    }
    size_of_val(&*words) as f64 / best.as_secs_f64()
}

/// Independent sums: the loop waits for memory and for nothing else.
#[inline(always)]
fn sum(mut sums: [u64; 32], words: &[u64; 32]) -> [u64; 32] {
    for (sum, word) in sums.iter_mut().zip(words) {
        *sum = sum.wrapping_add(*word);
    }
    sums
}

/// Rounds that a thread multiplies at a time: well above what handing them out costs.
const ROUNDS: usize = 1 << 16;

/// Multiplications of bytes, each with an addition, that the team's threads do together in a second by the instruction
/// that products at this level are made of: independent chains of it in registers, the best of the passes that fit
/// into `time`, of at least one. No kernel for quantized weights can pass it.
pub fn int8_peak(team: &Team, time: Duration) -> f64 {
    peak(team, time, |isa| dispatch!(isa, chains(black_box(ROUNDS)) and avx512))
}

/// Fused multiply-adds of floats that the team's threads do together in a second, likewise. Neither float weights nor
/// attention can pass it.
pub fn f32_peak(team: &Team, time: Duration) -> f64 {
    peak(team, time, |isa| dispatch!(isa, f32_chains(black_box(ROUNDS)) and avx512))
}

/// `chains` tells how many products it did.
fn peak(team: &Team, time: Duration, chains: impl Fn(Isa) -> usize + Sync) -> f64 {
    let (n, isa, start) = (team.n_threads(), team.isa(), Instant::now());
    let done = AtomicUsize::new(0);
    let mut best = 0.0_f64;
    while best == 0.0 || start.elapsed() < time {
        done.store(0, Ordering::Relaxed);
        let pass = Instant::now();
        team.for_each(n, 1, |range| {
            for _ in range {
                done.fetch_add(chains(isa), Ordering::Relaxed);
            }
        });
        best = best.max(done.load(Ordering::Relaxed) as f64 / pass.elapsed().as_secs_f64());
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_measured() {
        let rate = read_bandwidth(&Team::new(2, Isa::detect()).unwrap(), Duration::ZERO);
        assert!(rate.is_finite() && rate > 0.0);
        for isa in Isa::available() {
            let rate = int8_peak(&Team::new(2, isa).unwrap(), Duration::ZERO);
            assert!(rate.is_finite() && rate > 0.0, "{isa}");
            let rate = f32_peak(&Team::new(2, isa).unwrap(), Duration::ZERO);
            assert!(rate.is_finite() && rate > 0.0, "{isa}");
        }
    }
}
