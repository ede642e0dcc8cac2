//! A place in a byte slice from which nothing can be read that is not there.

#![forbid(unsafe_code)]

use crate::error::Problem;
use std::fmt::Display;

/// Reads forward. Every length is compared with the bytes that are left before anything is done with it; `field` names
/// what is being read, for the message.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes before this place.
    pub(crate) fn offset(&self) -> u64 {
        self.at as u64
    }

    /// Bytes after it.
    pub(crate) fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    /// The next `n_bytes`.
    pub(crate) fn take(&mut self, n_bytes: u64, field: &dyn Display) -> Result<&'a [u8], Problem> {
        self.need(n_bytes, field)?;
        let (start, n_bytes) = (self.at, n_bytes as usize);
        self.at += n_bytes;
        Ok(&self.bytes[start..][..n_bytes])
    }

    /// Fails unless `n_bytes` are left.
    pub(crate) fn need(&self, n_bytes: u64, field: &dyn Display) -> Result<(), Problem> {
        let left = self.left();
        if n_bytes <= left {
            return Ok(());
        }
        let problem = format!("needs {n_bytes} bytes, but the file has {left} more: {CUT}");
        Err(Problem::at(self.offset(), field, problem))
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &dyn Display) -> Result<[u8; N], Problem> {
        Ok(self.take(N as u64, field)?.try_into().expect("take returned N bytes"))
    }

    pub(crate) fn u32(&mut self, field: &dyn Display) -> Result<u32, Problem> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, field: &dyn Display) -> Result<u64, Problem> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A length and so many bytes.
    pub(crate) fn string(&mut self, field: &dyn Display) -> Result<&'a [u8], Problem> {
        let n_bytes = self.u64(field)?;
        self.take(n_bytes, field)
    }

    /// A number of things that take at least `min_bytes` each, of which there may be `limit`.
    pub(crate) fn count(
        &mut self,
        field: &dyn Display,
        min_bytes: u64,
        limit: u64,
    ) -> Result<usize, Problem> {
        let at = self.offset();
        let count = self.u64(field)?;
        if count > limit {
            return Err(Problem::at(
                at,
                field,
                format!("{count}, but at most {limit} are read: the file is damaged"),
            ));
        }
        let left = self.left();
        if count.checked_mul(min_bytes).is_none_or(|n_bytes| n_bytes > left) {
            let problem = format!("{count}, but the file has only {left} bytes for them: {CUT}");
            return Err(Problem::at(at, field, problem));
        }
        // It fits: count ≤ count × min_bytes ≤ the slice's length.
        Ok(count as usize)
    }
}

/// Why there is less than there should be.
pub(crate) const CUT: &str = "the download may be incomplete, or the file damaged";
