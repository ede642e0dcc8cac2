//! Memory that this process may still take.
//!
//! The machine, each cgroup and the resource limits have their own count of what is left, and the least one holds. Pages
//! of files count as left, because they give way, until programs are held up by just that: Linux tells for how long
//! tasks have waited for memory (`/proc/pressure/memory`, and `memory.pressure` of a cgroup). Where that is much, pages of
//! files are in use, and only what is free is left. And what the system has taken from this process and put into the
//! swap it may have no more: it is owed.

use super::field;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Memory that the system does not speak of.
const UNLIMITED: u64 = u64::MAX;

/// Tasks wait much that wait for a tenth of the time, over ten seconds as Linux averages it, or in one.
const MUCH_PERCENT: f64 = 10.0;
const PERIOD: Duration = Duration::from_secs(1);

/// Bytes that this process may still take: the least of what the machine has left, what each cgroup above it leaves,
/// and its resource limits. `mapped_bytes` are already in its address space but will be counted by the caller.
pub fn available_bytes(mapped_bytes: u64) -> u64 {
    MemoryWatch::new(mapped_bytes).available_bytes()
}

/// The same, time and again.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    root: PathBuf,
    mapped_bytes: u64,
    /// For how long tasks had waited, by the file that tells it, and when that was.
    waits: BTreeMap<PathBuf, (Instant, Duration)>,
}

impl MemoryWatch {
    /// Of this process.
    pub(crate) fn new(mapped_bytes: u64) -> Self {
        Self::below(Path::new("/"), mapped_bytes)
    }

    pub(super) fn below(root: &Path, mapped_bytes: u64) -> Self {
        Self { root: root.to_owned(), mapped_bytes, waits: BTreeMap::new() }
    }

    /// What is left now.
    pub(crate) fn available_bytes(&mut self) -> u64 {
        self.available_bytes_at(Instant::now())
    }

    pub(super) fn available_bytes_at(&mut self, now: Instant) -> u64 {
        let root = self.root.clone();
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let is_short = self.waits_much(root.join("proc/pressure/memory"), now).unwrap_or(false);
        let name = if is_short { "MemFree:" } else { "MemAvailable:" };
        let machine = kib(&read("proc/meminfo"), name).unwrap_or(UNLIMITED);

        let groups = groups(&read("proc/self/cgroup"), &read("proc/self/mountinfo"));
        let levels =
            groups.iter().flat_map(|group| group.levels().map(|folder| (group.v2, root.join(folder))));
        let left = levels.filter_map(|(v2, folder)| {
            // Version 1 does not tell: then it is as on the whole machine.
            let is_short = self.waits_much(folder.join("memory.pressure"), now).unwrap_or(is_short);
            left_bytes(&folder, v2, is_short)
        });
        let groups = left.min().unwrap_or(UNLIMITED);

        let (limits, status) = (read("proc/self/limits"), read("proc/self/status"));
        let left = |limit: &str, used: &str, counted: u64| {
            let used = kib(&status, used).unwrap_or(0).saturating_sub(counted);
            resource_limit(&limits, limit).map_or(UNLIMITED, |limit| limit.saturating_sub(used))
        };
        let address_space = left("Max address space", "VmSize:", self.mapped_bytes);
        let data = left("Max data size", "VmData:", 0);
        let swapped = kib(&status, "VmSwap:").unwrap_or(0);
        machine.min(groups).min(address_space).min(data).saturating_sub(swapped)
    }

    /// Whether tasks wait much for memory, by a file with lines like `some avg10=0.24 avg60=0.15 avg300=0.04 total=2578`,
    /// in percent and microseconds. `None`: it does not tell.
    fn waits_much(&mut self, file: PathBuf, now: Instant) -> Option<bool> {
        let text = fs::read_to_string(&file).ok()?;
        let number = |name: &str| {
            let parts = &mut field(&text, "some ")?.split(' ');
            parts.find_map(|part| part.strip_prefix(name))?.parse::<f64>().ok()
        };
        let (percent, total) = (number("avg10=")?, Duration::from_micros(number("total=")? as u64));
        let (since, before) = *self.waits.entry(file.clone()).or_insert((now, total));
        let elapsed = now - since;
        if elapsed >= PERIOD {
            self.waits.insert(file, (now, total));
        }
        let much = elapsed.max(PERIOD).mul_f64(MUCH_PERCENT / 100.0);
        Some(percent >= MUCH_PERCENT || total.saturating_sub(before) >= much)
    }
}

/// A field like `VmSize:   3900 kB`, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
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
    /// Its folder and those above it, below `/`.
    fn levels(&self) -> impl Iterator<Item = &Path> {
        self.folder.ancestors().take_while(|folder| folder.starts_with(&self.top))
    }
}

/// What a group leaves; `None` if it has no limit. Pages of files count as used, but they give way, if memory is not short.
fn left_bytes(folder: &Path, v2: bool, is_short: bool) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let number = |name: &str| read(name).trim().parse::<u64>().ok();
    // Above `memory.high` a group is throttled until it stands still: as good as a limit.
    let (limits, used, file_pages): (&[&str], _, _) = if v2 {
        (&["memory.max", "memory.high"], "memory.current", ["inactive_file ", "active_file "])
    } else {
        (&["memory.limit_in_bytes"], "memory.usage_in_bytes", ["total_inactive_file ", "total_active_file "])
    };
    let limit = limits.iter().filter_map(|name| number(name)).min()?;
    let reclaimable = if is_short {
        0
    } else {
        let stat = read("memory.stat");
        file_pages.iter().filter_map(|name| field(&stat, name)?.parse::<u64>().ok()).sum()
    };
    Some(limit.saturating_sub(number(used)?.saturating_sub(reclaimable)))
}
