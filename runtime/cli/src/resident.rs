//! How much memory something takes, as Linux counts this process's.

use std::fs;

/// The count begins: what is there already is not counted.
pub(crate) struct Resident {
    before_bytes: u64,
}

impl Resident {
    /// `None` where the system does not let a process begin its peak anew.
    pub(crate) fn start() -> Option<Self> {
        // 5: the highest count becomes the present one.
        fs::write("/proc/self/clear_refs", "5").ok()?;
        Some(Self { before_bytes: status_bytes("VmRSS:")? })
    }

    /// The most that has been held since, more than was there, mapped files included.
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        Some(status_bytes("VmHWM:")?.saturating_sub(self.before_bytes))
    }
}

/// A line of the process's status, like `VmHWM:     12345 kB`; `None` where there is none.
pub(crate) fn status_bytes(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_counted_and_what_was_there_is_not() {
        let old = std::hint::black_box(vec![1u8; 64 << 20]);
        if Resident::start().is_none() {
            println!("not tested: this system does not begin the peak anew");
            return;
        }
        // Other tests of this process take and give back memory meanwhile: one quiet moment of many is enough.
        let mut peaks = (0..50).map(|_| {
            let resident = Resident::start().expect("as before");
            drop(std::hint::black_box(vec![1u8; 32 << 20]));
            std::thread::sleep(std::time::Duration::from_millis(5));
            resident.peak_bytes().expect("a count")
        });
        assert!(peaks.any(|peak| (31 << 20..64 << 20).contains(&peak)));
        drop(old);
    }
}
