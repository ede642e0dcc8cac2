//! Which pieces of an unfinished file are whole, so that a later run goes on where a dead one ended.
//!
//! A short text beside the unfinished file: a line that says what was being made, then a line for each piece, with the
//! place where it ends, the hash of its bytes, and what its writer wants to know of it again. A line is written after its
//! piece, but neither is synced: what a power cut or a failing disk swallowed of either, the hash tells. So a journal costs a
//! few bytes and a fast hash, and believing it costs reading the file once.

use crate::{Error, system};
use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::hash::Hasher as _;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::SystemTime;
use tempfile::TempPath;
use twox_hash::XxHash3_64;

/// What the first line begins with. Another layout of the lines, another number.
const FORMAT: &str = "llamita journal 2 ";
/// Of a journal no more is read: a Llama has a thousand tensors.
const MAX_BYTES: u64 = 4 << 20;
/// Bytes that are read at a time to be hashed.
const CHECK_BYTES: usize = 1 << 20;

/// The hash of what was added.
#[derive(Clone)]
struct Hash(XxHash3_64);

impl Default for Hash {
    fn default() -> Self {
        Self(XxHash3_64::with_seed(0))
    }
}

impl Hash {
    fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn sum(&self) -> u64 {
        self.0.finish()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.sum())
    }
}

/// What a file is made of and how: two runs with the same fingerprint make the same file.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint(Hash);

impl Fingerprint {
    /// Something that the output follows from.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.add(&(bytes.len() as u64).to_le_bytes());
        self.0.add(bytes);
    }

    /// A file that the output follows from: its name, its length and when it was changed stand for its content. A folder
    /// that was moved is still the same.
    pub fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let found = path.metadata().map_err(Error::io(path, "cannot be asked for its size"))?;
        self.add(path.file_name().unwrap_or_default().as_encoded_bytes());
        self.add(&found.len().to_le_bytes());
        // A system that does not tell has only the length.
        let changed = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let since = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default().as_nanos();
        for nanoseconds in [since(SystemTime::UNIX_EPOCH, changed), since(changed, SystemTime::UNIX_EPOCH)] {
            self.add(&nanoseconds.to_le_bytes());
        }
        Ok(())
    }

    /// Two of the same are taken to be the same.
    pub fn sum(&self) -> u64 {
        self.0.sum()
    }

    fn first_line(&self) -> String {
        format!("{FORMAT}{:016x}\n", self.sum())
    }
}

/// A piece that a journal vouches for: its line.
#[derive(Debug)]
struct Piece {
    /// Where it ends in the file.
    end: u64,
    /// Of its bytes and the note.
    hash: u64,
    note: String,
}

impl Piece {
    /// Two numbers of 16 hexadecimal digits and the note, with spaces between them.
    fn line(&self) -> String {
        format!("{:016x} {:016x} {}\n", self.end, self.hash, self.note)
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let (end, rest) = str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
        let (hash, note) = rest.split_once(' ')?;
        let number = |hex: &str| u64::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 16);
        Some(Self { end: number(end)?, hash: number(hash)?, note: note.to_owned() })
    }
}

/// The journal of a file that is being written. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct Journal {
    path: TempPath,
    file: File,
    /// How much of it holds.
    n_bytes: u64,
    /// What a run before says is whole, and nobody has checked yet; the last piece first. `None`: the file is being
    /// written.
    claimed: Option<Vec<Piece>>,
    /// Of the piece that is being written.
    hash: Hash,
}

impl Journal {
    /// The journal's name beside a temporary file's.
    pub(super) fn path_of(partial: &Path) -> std::path::PathBuf {
        partial.with_extension("journal")
    }

    /// Begins one.
    pub(super) fn create(partial: &Path, fingerprint: &Fingerprint) -> io::Result<Self> {
        let path = Self::path_of(partial);
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let path = TempPath::try_from_path(path)?;
        let line = fingerprint.first_line();
        file.write_all(line.as_bytes())?;
        let n_bytes = line.len() as u64;
        Ok(Self { path, file, n_bytes, claimed: None, hash: Hash::default() })
    }

    /// Takes over the one of a dead run, if it speaks of the same file.
    pub(super) fn take_over(partial: &Path, fingerprint: &Fingerprint) -> Option<Self> {
        let path = Self::path_of(partial);
        let mut file = system::open_own(&path).ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut text = Vec::new();
        (&mut file).take(MAX_BYTES).read_to_end(&mut text).ok()?;
        let first_line = fingerprint.first_line();
        let lines = text.strip_prefix(first_line.as_bytes())?;
        // The last line may be torn.
        let mut pieces: Vec<_> =
            lines.split_inclusive(|&byte| byte == b'\n').map_while(Piece::parse).collect();
        pieces.reverse();
        let (n_bytes, claimed) = (first_line.len() as u64, Some(pieces));
        let path = TempPath::try_from_path(path).ok()?;
        Some(Self { path, file, n_bytes, claimed, hash: Hash::default() })
    }

    /// Pieces that a run before claims.
    pub(super) fn n_claimed(&self) -> usize {
        self.claimed.as_ref().map_or(0, Vec::len)
    }

    /// The note of the next piece of `file`, from `start` to `end`, if that is claimed and has its hash. If not, nothing
    /// behind it counts either.
    pub(super) fn check(&mut self, file: &File, start: u64, end: u64) -> io::Result<Option<String>> {
        let Some(claimed) = &mut self.claimed else { return Ok(None) };
        if let Some(piece) = claimed.pop().filter(|piece| piece.end == end)
            && hash_of(file, start, end, &piece.note)? == Some(piece.hash)
        {
            self.n_bytes += piece.line().len() as u64;
            return Ok(Some(piece.note));
        }
        claimed.clear();
        Ok(None)
    }

    /// From here on `file`, which is whole up to `at`, is written: what is beyond goes.
    pub(super) fn start_writing(&mut self, mut file: &File, at: u64) -> io::Result<()> {
        if self.claimed.take().is_some() {
            // The journal first: it must not vouch for what is gone.
            self.file.set_len(self.n_bytes)?;
            self.file.seek(SeekFrom::End(0))?;
            file.set_len(at)?;
            file.seek(SeekFrom::End(0))?;
        }
        Ok(())
    }

    /// These bytes of the piece are written.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hash.add(bytes);
    }

    /// The piece is whole, and the system has it. The note is a line at most.
    pub(super) fn seal(&mut self, end: u64, note: &str) -> io::Result<()> {
        let mut hash = std::mem::take(&mut self.hash);
        hash.add(note.as_bytes());
        let piece = Piece { end, hash: hash.sum(), note: note.to_owned() };
        self.file.write_all(piece.line().as_bytes())
    }

    /// The first piece of `file`, which ends at `end` and has no note, is another now.
    pub(super) fn seal_first_again(&self, file: &File, end: u64) -> io::Result<()> {
        let Some(hash) = hash_of(file, 0, end, "")? else { return Ok(()) };
        let piece = Piece { end, hash, note: String::new() };
        // Behind the line that says what is made, which is as long in every journal.
        system::write_all_at(
            &self.file,
            piece.line().as_bytes(),
            Fingerprint::default().first_line().len() as u64,
        )
    }

    /// Leaves it where it is.
    pub(super) fn keep(mut self) {
        self.path.disable_cleanup(true);
    }
}

/// The hash of a part of a file and of a note; `None` where the file is shorter.
fn hash_of(file: &File, start: u64, end: u64, note: &str) -> io::Result<Option<u64>> {
    if file.metadata()?.len() < end {
        return Ok(None);
    }
    let mut hash = Hash::default();
    let mut buffer = vec![0; CHECK_BYTES];
    let mut at = start;
    while at < end {
        let buffer = &mut buffer[..(end - at).min(CHECK_BYTES as u64) as usize];
        system::read_exact_at(file, buffer, at)?;
        hash.add(buffer);
        at += buffer.len() as u64;
    }
    hash.add(note.as_bytes());
    Ok(Some(hash.sum()))
}

/// Whether a name is that of a journal, and if so that of its file.
pub(super) fn partial_of(name: &std::ffi::OsStr) -> Option<OsString> {
    let path = Path::new(name);
    (path.extension()? == "journal").then(|| path.with_extension("partial").into_os_string())
}
