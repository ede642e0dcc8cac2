//! `checklist.chk`: the MD5 of every file that Meta ships, checked while the file is converted.
//!
//! MD5 is one long chain: a file has to be hashed front to back, and takes about as long as encoding it. Conversion
//! takes tensors in the model's order, which is nearly but not exactly the file's. So the hash walks each file at the
//! conversion's pace ([`Watch::follow`]): after a third of all numbers are converted, the first third of each file is
//! hashed, by another thread than encodes. The two stay close enough to share the page cache, so the disk is read
//! once; and the sum is known when the last number is converted, before the output gets its name.

use crate::mapped_file::MappedFile;
use crate::{Error, input};
use md5::{Digest, Md5};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Meta's lists have nine lines at most.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The largest file beside the shards: a tokenizer.
const MAX_SMALL_BYTES: u64 = 64 << 20;

type Sum = [u8; 16];

/// The sums that a list names.
#[derive(Debug)]
pub(crate) struct Checklist {
    path: PathBuf,
    sums: HashMap<String, Sum>,
}

impl Checklist {
    /// Reads a list; `None` if there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Error> {
        if !path.exists() {
            return Ok(None);
        }
        let text = input::read_small(path, MAX_FILE_BYTES)?;
        let mut sums = HashMap::new();
        for (number, line) in
            String::from_utf8_lossy(&text).lines().enumerate().filter(|(_, line)| !line.is_empty())
        {
            let entry = line.split_once(char::is_whitespace).and_then(|(sum, name)| {
                // md5sum puts a star before the name of a file that it read as binary.
                let name = name.trim().trim_start_matches('*').trim_start_matches("./");
                Some((name.to_owned(), parse_sum(sum)?)).filter(|_| !name.is_empty())
            });
            let (name, sum) = entry.ok_or_else(|| {
                let problem = "no MD5 sum and file name, as `md5sum` writes them; --no-verify converts without the list";
                Error::malformed(path, format_args!("line {}", number + 1), problem)
            })?;
            sums.insert(name, sum);
        }
        Ok(Some(Self { path: path.to_owned(), sums }))
    }

    /// The names that it lists.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.sums.keys().map(String::as_str)
    }

    fn sum_of(&self, file: &Path) -> Option<Sum> {
        self.sums.get(file.file_name()?.to_str()?).copied()
    }

    /// Checks a small file at once, if it is listed.
    pub(crate) fn check_small(&self, file: &Path) -> Result<(), Error> {
        let Some(expected) = self.sum_of(file) else { return Ok(()) };
        let bytes = input::read_small(file, MAX_SMALL_BYTES)?;
        self.compare(file, expected, Md5::digest(bytes).into())
    }

    fn compare(&self, file: &Path, expected: Sum, found: Sum) -> Result<(), Error> {
        if expected == found {
            return Ok(());
        }
        let hex = |sum: Sum| sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let problem = format!(
            "its MD5 is {}, but {} says {}: the file is damaged or was changed; download it again, or convert it as it \
             is with --no-verify",
            hex(found),
            self.path.display(),
            hex(expected)
        );
        Err(Error::unfit(file, problem))
    }
}

fn parse_sum(hex: &str) -> Option<Sum> {
    let digits = hex.as_bytes().as_chunks::<2>();
    let mut sum = Sum::default();
    if digits.0.len() != sum.len() || !digits.1.is_empty() {
        return None;
    }
    for (byte, pair) in sum.iter_mut().zip(digits.0) {
        // from_str_radix alone would take "+1".
        let pair =
            str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(sum)
}

/// The hashes of large files, underway.
#[derive(Default)]
pub(crate) struct Watch<'a> {
    files: Vec<Watched<'a>>,
}

struct Watched<'a> {
    list: &'a Checklist,
    file: &'a MappedFile,
    expected: Sum,
    hash: Md5,
    n_hashed: usize,
}

impl<'a> Watch<'a> {
    /// Begins to hash a file. `false`: it is not listed.
    pub(crate) fn add(&mut self, list: &'a Checklist, file: &'a MappedFile) -> bool {
        let Some(expected) = list.sum_of(file.path()) else { return false };
        self.files.push(Watched { list, file, expected, hash: Md5::new(), n_hashed: 0 });
        true
    }

    /// Hashes on, until of each file the same share is done as `n_done` of `n_total`. On all threads of the pool.
    pub(crate) fn follow(&mut self, n_done: u64, n_total: u64) {
        self.files.par_iter_mut().for_each(|watched| {
            let bytes = watched.file.bytes();
            let share = bytes.len() as u128 * u128::from(n_done) / u128::from(n_total.max(1));
            let until = (share as usize).clamp(watched.n_hashed, bytes.len());
            watched.hash.update(&bytes[watched.n_hashed..until]);
            watched.n_hashed = until;
        });
    }

    /// Hashes the rest and compares.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.follow(1, 1);
        let check = |watched: Watched| {
            watched.list.compare(watched.file.path(), watched.expected, watched.hash.finalize().into())
        };
        self.files.into_iter().try_for_each(check)
    }
}
