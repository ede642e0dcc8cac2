//! What the machine can do with each number of threads, measured.

use crate::error::Error;
use engine::MemoryPlan;
use kernels::{Isa, ReadLimit, Team};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Memory that is read to know its bandwidth: a server's caches hold hundreds of MiB.
const READ_BYTES: u64 = 1 << 30;

/// What a machine with little memory spares for it at least: more than its caches hold.
const MIN_READ_BYTES: u64 = 64 << 20;

/// How long the machine is looked at before anything is measured, and how long its units while a model runs; memory is read
/// twice then.
const TIME: Duration = Duration::from_millis(100);
const LOOK_TIME: Duration = Duration::from_millis(4);

/// What bounds a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Limit {
    /// Bytes read from memory.
    Bandwidth,
    /// Multiplications of bytes with their additions.
    Int8,
    /// Fused multiply-adds of floats.
    F32,
}

impl Limit {
    /// As a person reads it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::Int8 => "int8 peak",
            Self::F32 => "peak of floats",
        }
    }
}

/// The limits of the machine for one number of threads.
#[derive(Serialize)]
pub(super) struct Machine {
    pub threads: usize,
    pub read_bytes_per_second: f64,
    /// Of each level: multiplications of bytes with their additions, by the instruction that its kernels use.
    pub int8_macs_per_second: BTreeMap<&'static str, f64>,
    /// What it costs that the threads meet for an operation.
    pub operation_seconds: f64,
}

/// Measures limits.
pub(super) struct Limits {
    memory: ReadLimit,
    teams: Vec<Team>,
}

impl Limits {
    /// For these numbers of threads, of which there is one at least. What models of these plans need is left to them.
    pub(super) fn new(threads: &[usize], isa: Isa, plans: &[MemoryPlan]) -> Result<Self, Error> {
        let teams = threads.iter().map(|&n| team(n, isa)).collect::<Result<Vec<_>, _>>()?;
        let spare = plans.iter().map(|plan| plan.available_bytes.saturating_sub(plan.total_bytes())).min();
        let n_bytes = (spare.unwrap_or(0) / 2).clamp(MIN_READ_BYTES, READ_BYTES);
        let memory = ReadLimit::new(&teams[0], n_bytes as usize);
        Ok(Self { memory, teams })
    }

    fn team(&self, n_threads: usize) -> &Team {
        let team = self.teams.iter().find(|team| team.n_threads() == n_threads);
        team.expect("one of the numbers that limits are measured for")
    }

    /// What a limit comes to at this moment.
    pub(super) fn per_second(&self, limit: Limit, n_threads: usize) -> f64 {
        let team = self.team(n_threads);
        match limit {
            Limit::Bandwidth => self.memory.bytes_per_second(team, Duration::ZERO),
            Limit::Int8 => mean(|| kernels::int8_peak(team, Duration::ZERO)),
            Limit::F32 => mean(|| kernels::f32_peak(team, Duration::ZERO)),
        }
    }

    pub(super) fn machine(&self, n_threads: usize) -> Result<Machine, Error> {
        let mut int8_macs_per_second = BTreeMap::new();
        for isa in Isa::available() {
            int8_macs_per_second.insert(isa.name(), kernels::int8_peak(&team(n_threads, isa)?, TIME));
        }
        Ok(Machine {
            threads: n_threads,
            read_bytes_per_second: self.memory.bytes_per_second(self.team(n_threads), TIME),
            int8_macs_per_second,
            operation_seconds: kernels::operation_seconds(self.team(n_threads)),
        })
    }
}

/// The mean of the passes for a moment: the best of them is what a neighbour's pauses leave.
fn mean(pass: impl Fn() -> f64) -> f64 {
    pass(); // wakes who sleeps
    let (start, mut n, mut seconds) = (Instant::now(), 0.0, 0.0);
    while n == 0.0 || start.elapsed() < LOOK_TIME {
        // All do the same work.
        seconds += pass().recip();
        n += 1.0;
    }
    n / seconds
}

fn team(n_threads: usize, isa: Isa) -> Result<Team, Error> {
    Team::new(n_threads, isa).map_err(|error| {
        Error::Failed(format!("cannot start {n_threads} threads: {error}. Fewer (--threads) may do"))
    })
}
