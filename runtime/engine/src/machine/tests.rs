//! Texts as Linux writes them, under a root of our own.

use super::*;

const MIB: u64 = 1 << 20;

/// A path below the root, and what is in it.
type File = (&'static str, &'static str);

/// A root with these files.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

const MEMINFO: File = (
    "proc/meminfo",
    "MemTotal:       24000000 kB\nMemFree:         100000 kB\nMemAvailable:    8388608 kB\n",
);

/// Version 2 alone, as a desktop or a Raspberry Pi has it.
const V2_MOUNT: File = (
    "proc/self/mountinfo",
    "24 1 8:2 / / rw,relatime - ext4 /dev/sda2 rw\n\
     31 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
);

/// Both, memory under version 1: as a container on an older host sees it.
const V1_MOUNT: File = (
    "proc/self/mountinfo",
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
     35 31 0:32 /docker/17 /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory\n\
     41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
);
const V1_GROUPS: File = ("proc/self/cgroup", "4:memory:/docker/17/job\n3:cpu,cpuacct:/\n0::/\n");

const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max cpu time              unlimited            unlimited            seconds   \n";

#[test]
fn the_least_limit_counts() {
    let table: &[(&str, &[File], u64)] = &[
        ("a system that tells nothing", &[], u64::MAX),
        ("no cgroup", &[MEMINFO], 8192 * MIB),
        (
            "a cgroup without limits",
            &[
                MEMINFO,
                V2_MOUNT,
                ("proc/self/cgroup", "0::/user.slice/me\n"),
                ("sys/fs/cgroup/user.slice/me/memory.max", "max\n"),
                ("sys/fs/cgroup/user.slice/me/memory.current", "1000\n"),
            ],
            8192 * MIB,
        ),
        (
            "the limit of the parent, less what is used, and files' pages give way",
            &[
                MEMINFO,
                V2_MOUNT,
                ("proc/self/cgroup", "0::/user.slice/me\n"),
                ("sys/fs/cgroup/user.slice/me/memory.max", "1073741824\n"),
                ("sys/fs/cgroup/user.slice/me/memory.high", "max\n"),
                ("sys/fs/cgroup/user.slice/me/memory.current", "1048576\n"),
                ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
                ("sys/fs/cgroup/user.slice/memory.high", "536870912\n"),
                ("sys/fs/cgroup/user.slice/memory.current", "104857600\n"),
                (
                    "sys/fs/cgroup/user.slice/memory.stat",
                    "anon 5\ninactive_file 20971520\nactive_file 10485760\n",
                ),
            ],
            (512 - 100 + 20 + 10) * MIB,
        ),
        (
            "version 1, seen from inside",
            &[
                MEMINFO,
                V1_MOUNT,
                V1_GROUPS,
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "104857600\n"),
                (
                    "sys/fs/cgroup/memory/memory.stat",
                    "inactive_file 1\nactive_file 1\ntotal_inactive_file 1048576\ntotal_active_file 1048576\n",
                ),
                ("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "94371840\n"),
            ],
            (256 - 100 + 2) * MIB,
        ),
        (
            "more used than allowed",
            &[
                MEMINFO,
                V2_MOUNT,
                ("proc/self/cgroup", "0::/../../elsewhere\n"),
                ("sys/fs/cgroup/memory.max", "1048576\n"),
                ("sys/fs/cgroup/memory.current", "2097152\n"),
            ],
            0,
        ),
        (
            "address space: what is mapped of the model is not counted twice",
            &[
                MEMINFO,
                (
                    "proc/self/limits",
                    "Max address space         2147483648           unlimited            bytes     \n",
                ),
                ("proc/self/status", "Name:\tx\nVmSize:\t  512000 kB\nVmData:\t  100000 kB\n"),
            ],
            2048 * MIB - (500 - 100) * MIB,
        ),
        (
            "data",
            &[
                MEMINFO,
                (
                    "proc/self/limits",
                    "Max data size             1073741824           unlimited            bytes     \n",
                ),
                ("proc/self/status", "VmSize:\t  512000 kB\nVmData:\t  102400 kB\n"),
            ],
            (1024 - 100) * MIB,
        ),
        ("no limits at all", &[MEMINFO, ("proc/self/limits", LIMITS)], 8192 * MIB),
    ];
    for (name, files, expected) in table {
        let root = root(files);
        assert_eq!(MemoryWatch::below(root.path(), 100 * MIB).available_bytes(), *expected, "{name}");
    }
}

/// What Linux tells of tasks that wait for memory.
fn pressure(percent: &str, total_ms: u64) -> String {
    let line = |kind| format!("{kind} avg10={percent} avg60=0.00 avg300=0.00 total={}\n", total_ms * 1000);
    line("some") + &line("full")
}

#[test]
fn where_tasks_wait_for_memory_only_what_is_free_is_left() {
    const GROUP: &str = "sys/fs/cgroup/user.slice/me";
    let group = |name: &str| format!("{GROUP}/{name}");
    let root = root(&[MEMINFO, V2_MOUNT, ("proc/self/cgroup", "0::/user.slice/me\n")]);
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for (name, text) in [
        ("memory.max", "1073741824\n"),
        ("memory.current", "943718400\n"),
        ("memory.stat", "inactive_file 209715200\nactive_file 0\n"),
    ] {
        write(&group(name), text);
    }
    let (machine, of_group) = ("proc/pressure/memory", group("memory.pressure"));
    let (with_pages, free) = ((124 + 200) * MIB, 124 * MIB);
    let machine_free = 100_000 * 1024;

    let mut watch = MemoryWatch::below(root.path(), 0);
    let start = std::time::Instant::now();
    let mut check = |ms, expected, case: &str| {
        let now = start + std::time::Duration::from_millis(ms);
        assert_eq!(watch.available_bytes_at(now), expected, "{case}");
    };
    check(0, with_pages, "nothing is told");
    write(machine, &pressure("0.00", 5_000));
    write(&of_group, &pressure("0.00", 3_000));
    check(25, with_pages, "nobody waits now");
    write(&of_group, &pressure("0.40", 3_099));
    check(500, with_pages, "a little");
    write(&of_group, &pressure("0.60", 3_101));
    check(600, free, "the group waits for a tenth of a second");
    check(1000, free, "in the same second");
    check(1050, with_pages, "over a longer time it is less than a tenth");
    check(1200, with_pages, "nobody waits any more");
    write(&of_group, &pressure("10.00", 3_101));
    check(1300, free, "it has waited for a second of ten");
    write(&of_group, &pressure("9.99", 3_101));
    check(1400, with_pages, "less");
    write(machine, &pressure("50.00", 9_000));
    check(1500, machine_free, "the whole machine waits");
    write(&of_group, "no such thing\n");
    check(1600, machine_free, "and the group does not tell");
    write(machine, &pressure("0.00", 9_000));
    check(4000, machine_free, "it has waited for much longer since it was last asked");
    write("proc/self/status", "VmSize:\t  512000 kB\nVmSwap:\t   10240 kB\n");
    check(9000, with_pages - 10 * MIB, "what is in the swap is owed");
}

#[test]
fn siblings_of_a_core_count_once() {
    let siblings =
        |cpu: usize, list| (format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"), list);
    let topology: Vec<(String, &str)> = [
        siblings(0, "0,4\n"),
        siblings(1, "1,5\n"),
        siblings(4, "0,4\n"),
        siblings(5, "1,5\n"),
        siblings(6, "6\n"),
    ]
    .into();
    for (allowed, expected) in [
        ("0-1,4-6", Some(3)),
        ("0,4", Some(1)),
        ("5", Some(1)),
        ("0-7", None), // No topology for some: nothing is concluded.
        ("7-x", None),
        ("0-99999999999", None),
        ("", None),
    ] {
        let status = format!("Cpus_allowed:\tff\nCpus_allowed_list:\t{allowed}\n");
        let mut files: Vec<(&str, &str)> =
            topology.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        files.push(("proc/thread-self/status", &status));
        assert_eq!(cores_below(root(&files).path()), expected, "{allowed:?}");
    }
    assert_eq!(cores_below(root(&[]).path()), None);
    assert!((1..=1024).contains(&n_cores()));
}

#[test]
fn slow_cores_do_not_count() {
    /// Cores of a kind: how many, their capacity, their highest frequency in kHz; 0: the system does not tell.
    type Kinds = &'static [(usize, u64, u64)];
    let table: &[(&str, Kinds, usize)] = &[
        ("four alike", &[(4, 0, 0)], 4),
        ("four alike that tell", &[(4, 1024, 2_400_000)], 4),
        ("four big, four little", &[(4, 414, 1_800_000), (4, 1024, 2_400_000)], 4),
        (
            "one larger, three big, four little",
            &[(4, 326, 1_786_000), (3, 830, 2_496_000), (1, 1024, 2_995_000)],
            4,
        ),
        ("no capacities", &[(8, 0, 5_400_000), (2, 0, 5_800_000), (16, 0, 4_300_000)], 10),
        ("capacities that were never set", &[(2, 1024, 2_000_000), (2, 1024, 1_400_000)], 2),
        ("little ones alone", &[(4, 414, 1_800_000)], 4),
        ("a capacity of nothing", &[(1, 1, 0)], 1),
    ];
    for (name, kinds, expected) in table {
        let cores = kinds.iter().flat_map(|&(n, capacity, khz)| std::iter::repeat_n((capacity, khz), n));
        let mut files = Vec::new();
        for (cpu, (capacity, khz)) in cores.enumerate() {
            let told = [
                ("topology/thread_siblings_list", cpu as u64),
                ("cpu_capacity", capacity),
                ("cpufreq/cpuinfo_max_freq", khz),
            ];
            let told = told.into_iter().filter(|&(file, value)| value > 0 || file.starts_with("topology"));
            files.extend(told.map(|(file, value)| {
                (format!("sys/devices/system/cpu/cpu{cpu}/{file}"), format!("{value}\n"))
            }));
        }
        let n_cpus = kinds.iter().map(|kind| kind.0).sum::<usize>();
        let status = format!("Cpus_allowed_list:\t0-{}\n", n_cpus - 1);
        let mut files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        files.push(("proc/thread-self/status", &status));
        assert_eq!(cores_below(root(&files).path()), Some(*expected), "{name}");
    }
}
