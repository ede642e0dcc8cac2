//! What this process may use of the machine: cores and memory.
//!
//! Everything is read from the texts that Linux shows of it. On another system there are none, and then the standard
//! library's count of threads stands, and the memory counts as unlimited.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Memory that the system does not speak of.
const UNLIMITED: u64 = u64::MAX;

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

/// Bytes that this process may still take: the least of what the machine has left, what each cgroup above it leaves,
/// and its resource limits. `mapped_bytes` are already in its address space but will be counted by the caller.
pub fn available_bytes(mapped_bytes: u64) -> u64 {
    available_bytes_below(Path::new("/"), mapped_bytes)
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

fn available_bytes_below(root: &Path, mapped_bytes: u64) -> u64 {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let machine = kib(&read("proc/meminfo"), "MemAvailable:").unwrap_or(UNLIMITED);
    let groups = groups(&read("proc/self/cgroup"), &read("proc/self/mountinfo"));
    let groups = groups.iter().filter_map(|group| group.left_bytes(root)).min().unwrap_or(UNLIMITED);

    let (limits, status) = (read("proc/self/limits"), read("proc/self/status"));
    let left = |limit: &str, used: &str, counted: u64| {
        let used = kib(&status, used).unwrap_or(0).saturating_sub(counted);
        resource_limit(&limits, limit).map_or(UNLIMITED, |limit| limit.saturating_sub(used))
    };
    let address_space = left("Max address space", "VmSize:", mapped_bytes);
    let data = left("Max data size", "VmData:", 0);
    machine.min(groups).min(address_space).min(data)
}

/// What follows a name at a line's start.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// A field like `VmSize:   3900 kB`, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
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

/// The soft limit of a line like `Max data size   unlimited   unlimited   bytes`.
fn resource_limit(limits: &str, name: &str) -> Option<u64> {
    field(limits, name)?.split_whitespace().next()?.parse().ok()
}

/// A cgroup that holds this process, by its folder below `/`, and the folder where its hierarchy ends.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    v2: bool,
    folder: PathBuf,
    top: PathBuf,
}

/// The cgroups that count this process's memory: version 2's, and version 1's memory controller. Both can be there.
fn groups(cgroup: &str, mountinfo: &str) -> Vec<Group> {
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let v2 = number == "0" && controllers.is_empty();
        if !v2 && !controllers.split(',').any(|controller| controller == "memory") {
            return None;
        }
        let (mounted, top) = mountinfo.lines().find_map(|line| mount(line, v2))?;
        // Seen from a container, the path may start above what is mounted: then the mount is all that there is to see.
        let below = Path::new(path).strip_prefix(mounted).unwrap_or(Path::new(""));
        let below =
            if below.components().all(|part| part.as_os_str() != "..") { below } else { Path::new("") };
        let top = Path::new(top).strip_prefix("/").ok()?;
        Some(Group { v2, folder: top.join(below), top: top.to_owned() })
    };
    cgroup.lines().filter_map(of_line).collect()
}

/// Root and mount point of a line of mountinfo, if it mounts the hierarchy: `… ROOT POINT OPTIONS … - TYPE SOURCE OPTIONS`.
fn mount(line: &str, v2: bool) -> Option<(&str, &str)> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let right = match kind.next()? {
        "cgroup2" => v2,
        "cgroup" => !v2 && kind.nth(1)?.split(',').any(|option| option == "memory"),
        _ => false,
    };
    let mut mount = mount.split(' ').skip(3);
    right.then_some((mount.next()?, mount.next()?))
}

impl Group {
    /// The least that it and those above it leave; `None` if none of them has a limit.
    fn left_bytes(&self, root: &Path) -> Option<u64> {
        let levels = self.folder.ancestors().take_while(|folder| folder.starts_with(&self.top));
        levels.filter_map(|folder| self.left_bytes_of(&root.join(folder))).min()
    }

    fn left_bytes_of(&self, folder: &Path) -> Option<u64> {
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let number = |name: &str| read(name).trim().parse::<u64>().ok();
        // Above `memory.high` a group is throttled until it stands still: as good as a limit.
        let (limits, used, file_pages): (&[&str], _, _) = if self.v2 {
            (&["memory.max", "memory.high"], "memory.current", ["inactive_file ", "active_file "])
        } else {
            (
                &["memory.limit_in_bytes"],
                "memory.usage_in_bytes",
                ["total_inactive_file ", "total_active_file "],
            )
        };
        let limit = limits.iter().filter_map(|name| number(name)).min()?;
        let stat = read("memory.stat");
        // Pages of files count as used, but they give way.
        let reclaimable = file_pages.iter().filter_map(|name| field(&stat, name)?.parse::<u64>().ok()).sum();
        Some(limit.saturating_sub(number(used)?.saturating_sub(reclaimable)))
    }
}

#[cfg(test)]
mod tests;
