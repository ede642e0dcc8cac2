//! What the machine can do with each number of threads, measured.

use crate::error::Error;
use engine::MemoryPlan;
use kernels::{Isa, ReadLimit, Team};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Memory that is read to know its bandwidth: a server's caches hold hundreds of MiB.
const READ_BYTES: u64 = 1 << 30;

/// What a machine with little memory spares for it at least: more than its caches hold.
const MIN_READ_BYTES: u64 = 64 << 20;

/// How long a limit is measured before each repetition: a few passes.
const READ_TIME: Duration = Duration::from_millis(100);
const INT8_TIME: Duration = Duration::from_millis(20);

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

    pub(super) fn read_bytes_per_second(&self, n_threads: usize) -> f64 {
        self.memory.bytes_per_second(self.team(n_threads), READ_TIME)
    }

    pub(super) fn int8_per_second(&self, n_threads: usize) -> f64 {
        kernels::int8_peak(self.team(n_threads), INT8_TIME)
    }

    pub(super) fn machine(&self, n_threads: usize) -> Result<Machine, Error> {
        let mut int8_macs_per_second = BTreeMap::new();
        for isa in Isa::available() {
            int8_macs_per_second.insert(isa.name(), kernels::int8_peak(&team(n_threads, isa)?, INT8_TIME));
        }
        Ok(Machine {
            threads: n_threads,
            read_bytes_per_second: self.read_bytes_per_second(n_threads),
            int8_macs_per_second,
            operation_seconds: kernels::operation_seconds(self.team(n_threads)),
        })
    }
}

fn team(n_threads: usize, isa: Isa) -> Result<Team, Error> {
    Team::new(n_threads, isa).map_err(|error| {
        Error::Failed(format!("cannot start {n_threads} threads: {error}. Fewer (--threads) may do"))
    })
}
