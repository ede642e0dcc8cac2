//! What this process may use of the machine: cores and [`memory`].
//!
//! Everything is read from the texts that Linux shows of it. On another system there are none, and then the standard
//! library's count of threads stands, and the memory counts as unlimited.

mod memory;

pub(crate) use memory::MemoryWatch;
pub use memory::available_bytes;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Of cores that differ, the fast ones are those with this share, in percent, of the fastest one's capacity. Big cores
/// of an Arm chip with three kinds have three quarters of its largest, little ones less than half.
const FAST_CAPACITY: u64 = 60;

/// Likewise of its highest frequency, where no capacities tell: between the few percent that favoured cores of one kind
/// may go beyond the others and the fifth that cores of a smaller kind stay below.
const FAST_FREQUENCY: u64 = 85;

/// Physical cores that this process may use: affinity and a cgroup's quota count, siblings of a core count once, and
/// where cores differ, slow ones do not count: an operation is done when its last thread is.
pub fn n_cores() -> usize {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    cores_below(Path::new("/")).map_or(threads, |cores| cores.min(threads))
}

fn cores_below(root: &Path) -> Option<usize> {
    let status = fs::read_to_string(root.join("proc/thread-self/status")).ok()?;
    let cpus = parse_cpu_list(field(&status, "Cpus_allowed_list:")?)?;
    let folder = |cpu: usize| root.join(format!("sys/devices/system/cpu/cpu{cpu}"));
    let mut cores = BTreeMap::new();
    for cpu in cpus {
        let siblings = fs::read_to_string(folder(cpu).join("topology/thread_siblings_list")).ok()?;
        cores.entry(siblings).or_insert_with(|| folder(cpu));
    }
    let n_fast = |file: &str, percent: u64| {
        let speed = |core: &PathBuf| fs::read_to_string(core.join(file)).ok()?.trim().parse::<u64>().ok();
        let speeds = cores.values().map(speed).collect::<Option<Vec<_>>>()?;
        let fast = speeds.iter().max()?.saturating_mul(percent) / 100;
        Some(speeds.iter().filter(|&&speed| speed >= fast).count())
    };
    let by_capacity = n_fast("cpu_capacity", FAST_CAPACITY).filter(|&n| n < cores.len());
    let by_frequency = || n_fast("cpufreq/cpuinfo_max_freq", FAST_FREQUENCY);
    by_capacity.or_else(by_frequency).or(Some(cores.len())).filter(|&n| n > 0)
}

/// What follows a name at a line's start.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// `0-3,8` is 0, 1, 2, 3, 8.
fn parse_cpu_list(list: &str) -> Option<Vec<usize>> {
    // Linux itself knows no more; a list that says so is not believed.
    const MAX_CPUS: usize = 8192;
    let mut cpus = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MAX_CPUS {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests;
