//! A file that appears whole or not at all.
//!
//! It grows under a temporary name in the folder where it will stand, `.NAME.XXXXXX.partial`, so that the last step is a
//! rename, which cannot fail halfway. While it grows it is locked: a partial file that nobody has locked belongs to a
//! process that was killed, and the next [`Output::create`] of the same name removes it.
//!
//! An output that takes long to make has a journal beside it, `.NAME.XXXXXX.journal`: then the next run of the same work takes
//! the partial file over instead, as far as it is whole ([`Output::recoverable`]).

#![forbid(unsafe_code)]

mod journal;

pub use journal::Fingerprint;

use crate::{Error, system};
use journal::Journal;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempPath};

/// Bytes that are collected before the system is called; longer pieces go straight through.
const BUFFER_BYTES: usize = 1 << 20;
/// Bytes after which the disk is told to begin.
const WRITE_BACK_BYTES: u64 = 8 << 20;
/// How much of a long name the temporary name repeats: file systems allow 255 bytes, and the rest needs some.
const REPEATED_NAME_BYTES: usize = 200;
/// Random characters in a temporary name.
const RANDOM_CHARS: usize = 6;
const SUFFIX: &str = ".partial";

/// An output file under a temporary name in its own folder. [`finish`](Self::finish) flushes it to the disk and gives
/// it its name; dropped before that, it is removed.
#[derive(Debug)]
pub struct Output {
    /// As the user named it.
    path: PathBuf,
    /// What the rename replaces: `path`, or where that links to.
    target: PathBuf,
    file: BufWriter<NamedTempFile>,
    /// What was handed over; the last of it may still be in the buffer.
    taken_bytes: u64,
    /// What the disk was told to take.
    begun_bytes: u64,
    journal: Option<Journal>,
}

impl Output {
    /// Starts a file that will be called `path`. Fails at once where the folder cannot be written, where fewer than
    /// `n_bytes` are free, or where this process may write no file of that size. A file that stands there is replaced in
    /// the end, and keeps its permissions.
    pub fn create(path: impl AsRef<Path>, n_bytes: u64) -> Result<Self, Error> {
        Self::start(path.as_ref(), n_bytes, |folder, prefix, permissions| {
            remove_stale(folder, prefix);
            Ok((create_locked(folder, prefix, permissions)?, None))
        })
    }

    /// The same, for a file in pieces of which a later run can use those that are whole: end each with
    /// [`seal`](Self::seal). The partial file of a run that died goes on, if it had the same fingerprint: ask
    /// [`recover`](Self::recover) before each piece.
    pub fn recoverable(
        path: impl AsRef<Path>,
        n_bytes: u64,
        fingerprint: &Fingerprint,
    ) -> Result<Self, Error> {
        Self::start(path.as_ref(), n_bytes, |folder, prefix, permissions| {
            let taken_over = take_over(folder, prefix, fingerprint);
            remove_stale(folder, prefix);
            let (file, journal) = match taken_over {
                Some((file, journal)) => {
                    if let Some(permissions) = permissions {
                        file.as_file().set_permissions(permissions)?;
                    }
                    (file, journal)
                }
                None => {
                    let file = create_locked(folder, prefix, permissions)?;
                    let journal = Journal::create(file.path(), fingerprint)?;
                    (file, journal)
                }
            };
            Ok((file, Some(journal)))
        })
    }

    /// Checks what can be checked, and has `open` make or find the file in a folder under a prefix, with permissions.
    fn start(
        path: &Path,
        n_bytes: u64,
        open: impl FnOnce(&Path, &OsStr, Option<Permissions>) -> io::Result<(NamedTempFile, Option<Journal>)>,
    ) -> Result<Self, Error> {
        let unwritable = |problem: String| Error::Unwritable { path: path.to_owned(), problem };
        // Renaming onto a link would replace the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let existing = fs::metadata(&target).ok();
        match &existing {
            Some(found) if found.is_dir() => {
                return Err(unwritable("this is a directory: give a file's name in it".into()));
            }
            Some(found) if !found.is_file() => {
                return Err(unwritable("this is a device, pipe or socket; a file is needed".into()));
            }
            _ => {}
        }
        let name = target.file_name().filter(|_| !path.as_os_str().as_encoded_bytes().ends_with(b"/"));
        let Some(name) = name else { return Err(unwritable("it has no file name".into())) };
        let folder = folder_of(&target);
        // Its temporary name is shorter: without this, the rename after all the work would be the first to say so.
        if let Err(source) = fs::symlink_metadata(&target)
            && source.kind() == io::ErrorKind::InvalidFilename
        {
            return Err(Error::io(path, "cannot be given its name")(source));
        }
        if !folder.is_dir() {
            let problem = format!("there is no folder {}: create it first", folder.display());
            return Err(unwritable(problem));
        }
        if let Some(limit) = system::max_file_bytes().filter(|&limit| limit < n_bytes) {
            let problem =
                format!("it will have {n_bytes} bytes, and `ulimit -f` allows this process {limit}");
            return Err(unwritable(problem));
        }

        let (file, journal) = open(folder, &prefix(name), existing.map(|found| found.permissions()))
            .map_err(Error::io(path, "a file cannot be created in its folder"))?;
        // What a partial file has of the disk already is not needed again.
        let taken_bytes = file.as_file().metadata().map_or(0, |found| system::allocated_bytes(&found));
        let output = Self {
            path: path.to_owned(),
            target: target.clone(),
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            taken_bytes: 0,
            begun_bytes: 0,
            journal,
        };
        match check_space(path, folder, n_bytes.saturating_sub(taken_bytes)) {
            Err(error) if taken_bytes > 0 => {
                // Another try, with more room, shall find it.
                output.keep();
                Err(error)
            }
            result => result.map(|()| output),
        }
    }

    /// The note of the next piece if a run before has written its `n_bytes` whole: they need not be written again. After
    /// the first piece that is not there, none is.
    pub fn recover(&mut self, n_bytes: u64) -> Result<Option<String>, Error> {
        let Some(journal) = &mut self.journal else { return Ok(None) };
        let end = self.taken_bytes.saturating_add(n_bytes);
        let note = journal
            .check(self.file.get_ref().as_file(), self.taken_bytes, end)
            .map_err(Error::io(&self.path, "its unfinished part cannot be read back"))?;
        if note.is_some() {
            (self.taken_bytes, self.begun_bytes) = (end, end);
        }
        Ok(note)
    }

    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.start_writing()?;
        self.file.write_all(bytes).map_err(|source| self.failed(source))?;
        self.taken_bytes += bytes.len() as u64;
        if self.taken_bytes - self.begun_bytes >= WRITE_BACK_BYTES {
            system::write_back(self.file.get_ref().as_file(), self.begun_bytes..self.taken_bytes);
            self.begun_bytes = self.taken_bytes;
        }
        if let Some(journal) = &mut self.journal {
            journal.add(bytes);
        }
        Ok(())
    }

    /// What was written since the last call is a piece. Who recovers it gets the note, one line at most.
    pub fn seal(&mut self, note: &str) -> Result<(), Error> {
        if let Some(journal) = &mut self.journal {
            let sealed = self.file.flush().and_then(|()| journal.seal(self.taken_bytes, note));
            sealed.map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Writes bytes `at` some place of the first piece, which ends at `end`, again: what is known in the end only. A run
    /// that is killed after that has all its pieces still.
    pub fn amend(&mut self, at: u64, bytes: &[u8], end: u64) -> Result<(), Error> {
        self.start_writing()?;
        let amended = self.file.flush().and_then(|()| {
            let file = self.file.get_ref().as_file();
            system::write_all_at(file, bytes, at)?;
            self.journal.as_ref().map_or(Ok(()), |journal| journal.seal_first_again(file, end))
        });
        amended.map_err(|source| self.failed(source))
    }

    /// fsync, then the final name.
    pub fn finish(mut self) -> Result<(), Error> {
        self.start_writing()?;
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().as_file().sync_all())
            .map_err(|e| self.failed(e))?;
        let Self { path, target, file, journal, .. } = self;
        let (file, _) = file.into_parts();
        file.persist(&target).map_err(|error| Error::io(&path, "cannot be given its name")(error.error))?;
        // Not before: until the file has its name, another run may need the journal.
        drop(journal);
        // The name too must survive a power cut.
        system::sync_folder(folder_of(&target))
            .map_err(Error::io(&path, "is written, but its folder cannot be synced"))
    }

    /// Ends early, and leaves the partial file for a run that resumes.
    pub fn keep(self) {
        let Self { file, journal, .. } = self;
        // What is in the buffer belongs to no piece that is whole.
        let (mut file, _) = file.into_parts();
        if let Some(journal) = journal {
            journal.keep();
            file.disable_cleanup(true);
        }
    }

    fn start_writing(&mut self) -> Result<(), Error> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let started = journal.start_writing(self.file.get_ref().as_file(), self.taken_bytes);
        started.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let written_bytes = self.taken_bytes.saturating_sub(self.file.buffer().len() as u64);
                Error::DiskFull { path: self.path.clone(), written_bytes }
            }
            io::ErrorKind::FileTooLarge => Error::io(
                &self.path,
                "no file of this size is taken by its file system, or by `ulimit -f`",
            )(source),
            _ => Error::io(&self.path, "cannot be written")(source),
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// `.NAME.`, how the temporary names for `NAME` begin.
fn prefix(name: &OsStr) -> OsString {
    let name = name.to_string_lossy();
    format!(".{}.", &name[..name.floor_char_boundary(REPEATED_NAME_BYTES)]).into()
}

fn check_space(path: &Path, folder: &Path, needed_bytes: u64) -> Result<(), Error> {
    let free_bytes = system::free_bytes(folder).map_err(Error::io(path, "its disk cannot be asked"))?;
    match free_bytes {
        Some(free_bytes) if free_bytes < needed_bytes => {
            Err(Error::NoSpace { path: path.to_owned(), needed_bytes, free_bytes })
        }
        _ => Ok(()),
    }
}

/// A new temporary file that this process has locked, with these permissions or those that any new file has.
fn create_locked(
    folder: &Path,
    prefix: &OsStr,
    permissions: Option<Permissions>,
) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new()
            .prefix(prefix)
            .rand_bytes(RANDOM_CHARS)
            .suffix(SUFFIX)
            .make_in(folder, create_new)?;
        // Between its creation and its lock another process may have taken it for a stale one.
        let is_locked = matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock));
        let taken = is_locked || !system::has_name(file.as_file(), file.path())?;
        // Where a file system has no locks, nothing can prove a file stale, so nothing removes it either.
        if taken {
            continue;
        }
        if let Some(permissions) = permissions {
            file.as_file().set_permissions(permissions)?;
        }
        return Ok(file);
    }
}

/// With the permissions that any new file has. What fails is told in the system's words: a user knows nothing of temporary
/// names, which the errors of `tempfile` itself would name.
fn create_new(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// Removes what killed processes left of a file. Whatever cannot be opened, locked or removed stays: this is a courtesy.
fn remove_stale(folder: &Path, prefix: &OsStr) {
    stale(folder, prefix).for_each(drop);
    // Journals without a file: theirs was removed just now, or has its name.
    for (name, path) in entries(folder) {
        let partial = journal::partial_of(&name).filter(|partial| is_partial(partial, prefix));
        if partial.is_some_and(|partial| !folder.join(partial).exists()) {
            let _ = fs::remove_file(path);
        }
    }
}

/// The partial file with this fingerprint that killed processes left, the longest if there are several.
fn take_over(folder: &Path, prefix: &OsStr, fingerprint: &Fingerprint) -> Option<(NamedTempFile, Journal)> {
    let mut found: Option<(NamedTempFile, Journal)> = None;
    for stale in stale(folder, prefix) {
        let journal = Journal::take_over(stale.path(), fingerprint);
        let best = found.as_ref().map(|(_, journal)| journal.n_claimed());
        if let Some(journal) = journal.filter(|journal| Some(journal.n_claimed()) > best) {
            found = Some((stale, journal));
        }
    }
    found
}

/// Partial files that no process has locked any more; now this one has. Each is removed when it is dropped.
fn stale(folder: &Path, prefix: &OsStr) -> impl Iterator<Item = NamedTempFile> {
    let partial = entries(folder).filter(|(name, _)| is_partial(name, prefix));
    partial.filter_map(|(_, path)| {
        let file = system::open_own(&path).ok()?;
        file.try_lock().ok()?;
        // Since the folder was read, its process may have given it its name, or another one have removed it.
        if !file.metadata().ok()?.is_file() || !system::has_name(&file, &path).ok()? {
            return None;
        }
        Some(NamedTempFile::from_parts(file, TempPath::try_from_path(path).ok()?))
    })
}

/// Names and paths in a folder; none where it cannot be read.
fn entries(folder: &Path) -> impl Iterator<Item = (OsString, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| (entry.file_name(), entry.path()))
}

/// Whether a name is `prefix`, random characters, [`SUFFIX`].
fn is_partial(name: &OsStr, prefix: &OsStr) -> bool {
    let random = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
    let random = random.and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    random.is_some_and(|random| random.len() == RANDOM_CHARS && random.iter().all(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests;
