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

use crate::isa::{LINE, dispatch, prefetch};
use crate::{Isa, Team};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Words that a thread reads at a time: 1 MiB.
const CHUNK: usize = (1 << 20) / size_of::<u64>();

/// Words that are summed at a time.
type Words = [u64; 32];

/// Memory to be read, so that its bandwidth is known.
#[derive(Debug)]
pub struct ReadLimit {
    words: Vec<u64>,
}

impl ReadLimit {
    /// Takes `n_bytes` of memory, 1 MiB at least. It should be far more than the last cache holds: 1 GiB is for any.
    pub fn new(team: &Team, n_bytes: usize) -> Self {
        // Written, not only reserved: pages that were never touched are all the same page of zeros.
        let mut words = vec![0u64; (n_bytes / size_of::<u64>()).next_multiple_of(CHUNK).max(CHUNK)];
        team.for_each_piece(&mut words, CHUNK, |_, piece| piece.fill(1));
        Self { words }
    }

    /// Bytes that it holds.
    pub fn n_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    /// Bytes a second that the team's threads read together: the best of the passes over all of it that fit into
    /// `time`, at least one by a plain loop and one by a loop of several streams that prefetches. Which of them wins is
    /// the machine's affair: what its own prefetch follows, and how far.
    pub fn bytes_per_second(&self, team: &Team, time: Duration) -> f64 {
        let (isa, start) = (team.isa(), Instant::now());
        let mut best = Duration::MAX;
        for n_passes in 0.. {
            if n_passes >= 2 && start.elapsed() >= time {
                break;
            }
            let pass = Instant::now();
            team.for_each(self.words.len() / CHUNK, 1, |range| {
                let piece = self.words[range.start * CHUNK..range.end * CHUNK].as_chunks().0;
                black_box(isa.run(
                    #[inline(always)]
                    || if n_passes % 2 == 0 { piece.iter().fold([0; 32], sum) } else { read_streams(piece) },
                ));
            });
            best = best.min(pass.elapsed());
        }
        self.n_bytes() as f64 / best.as_secs_f64()
    }
}

/// Bytes a second that the team's threads read together from memory: [`ReadLimit`] of 1 GiB, for a moment.
pub fn read_bandwidth(team: &Team, time: Duration) -> f64 {
    ReadLimit::new(team, 1 << 30).bytes_per_second(team, time)
}

/// Streams of the loop that has several, and how far ahead it prefetches each: on two cores of a Xeon (model 167) a core
/// read 11.4 GiB/s as one stream, 12.8 with the best prefetch, 15.3 as four, and 15.7 with this one; sixteen were no more.
const N_STREAMS: usize = 4;
const AHEAD_BYTES: usize = 1024;

/// Reads a piece as several streams that advance together.
#[inline(always)]
fn read_streams(words: &[Words]) -> Words {
    let mut sums = [0; 32];
    let n = words.len() / N_STREAMS;
    for i in 0..n {
        for words in words[i..].iter().step_by(n).take(N_STREAMS) {
            let ahead = words.as_ptr().cast::<u8>().wrapping_add(AHEAD_BYTES);
            for line in (0..size_of_val(words)).step_by(LINE) {
                prefetch(ahead.wrapping_add(line));
            }
            sums = sum(sums, words);
        }
    }
    sums
}

/// Independent sums: the loop waits for memory and for nothing else.
#[inline(always)]
fn sum(mut sums: Words, words: &Words) -> Words {
    for (sum, word) in sums.iter_mut().zip(words) {
        *sum = sum.wrapping_add(*word);
    }
    sums
}

/// Seconds that an operation takes in which there is nothing to do: what the threads' meeting costs, seven times in a
/// layer. The median of many, one right after the other as in a pass.
pub fn operation_seconds(team: &Team) -> f64 {
    const N: usize = 1001;
    let mut times = [Duration::ZERO; N];
    for time in &mut times {
        let start = Instant::now();
        // A chunk for each thread, so that it is an operation of the team.
        team.for_each(team.n_threads(), 1, |range| {
            black_box(range);
        });
        *time = start.elapsed();
    }
    times.sort_unstable();
    times[N / 2].as_secs_f64()
}

/// Rounds that a thread multiplies at a time, well above what handing them out costs, and how many such shares a pass has for each
/// thread: one whose core is slower for a while takes fewer of them.
const ROUNDS: usize = 1 << 14;
const SHARES: usize = 8;

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
        team.for_each(SHARES * n, 1, |range| {
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
        let memory = ReadLimit::new(&Team::new(2, Isa::detect()).unwrap(), (3 << 20) - 1);
        assert_eq!(memory.n_bytes(), 3 << 20);
        for isa in Isa::available() {
            let team = Team::new(2, isa).unwrap();
            let peaks = [int8_peak, f32_peak].map(|peak| peak(&team, Duration::ZERO));
            for rate in [memory.bytes_per_second(&team, Duration::ZERO)].into_iter().chain(peaks) {
                assert!(rate.is_finite() && rate > 0.0, "{isa}");
            }
            let time = operation_seconds(&team);
            assert!((0.0..1.0).contains(&time), "{isa}: {time}");
        }
    }
}
