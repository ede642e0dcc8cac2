//! Sizes as people write them: `256MiB`, `3.5 GiB`, `4GB`, `1000000`.

/// Names of units, in lower case, and their bytes. A letter alone counts in powers of 1024, as in `du`, `dd` and systemd.
const UNITS: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
];

/// Digits behind the point that are read. A byte in a tebibyte is the thirteenth.
const MAX_DECIMALS: usize = 15;

/// The value of a flag that takes a size, in bytes. A part of a byte is dropped.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse(text)
        .ok_or_else(|| "it must be a size such as 256MiB, 1.5GiB, 4GB, or a number of bytes".to_owned())
}

fn parse(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = unit.trim_start_matches(' ').to_ascii_lowercase();
    let (_, unit_bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    if decimals.len() > MAX_DECIMALS {
        return None;
    }
    // Not as a float: 64 bits of bytes are to be read exactly.
    let (whole, part) = (whole.parse::<u64>().ok()?, decimals.parse::<u64>().ok()?);
    let part = u128::from(part) * u128::from(*unit_bytes) / 10u128.pow(decimals.len() as u32);
    whole.checked_mul(*unit_bytes)?.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, n_bytes) in [
            ("0", 0),
            ("1000000", 1_000_000),
            ("12b", 12),
            ("256MiB", 256 << 20),
            ("256 MiB", 256 << 20),
            ("256mib", 256 << 20),
            ("256M", 256 << 20),
            ("1GiB", 1 << 30),
            ("4GB", 4_000_000_000),
            ("4g", 4 << 30),
            ("3.5GiB", 7 << 29),
            ("0.1KB", 100),
            ("0.0001K", 0),
            ("2TiB", 2 << 40),
            ("1.000000000001tb", 1_000_000_000_001),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(n_bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            " ",
            "GiB",
            "-1",
            "+1",
            "1e9",
            "1.GiB",
            ".5GiB",
            "1.5.5GiB",
            "4 parsecs",
            "4G iB",
            "0x10",
            "1,5GiB",
            "18446744073709551616",
            "16777216TiB",
            "0.1234567890123456GiB",
            "４GiB",
            "nan",
            "auto",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
