//! A file that appears whole or not at all.
//!
//! It grows under a temporary name in the folder where it will stand, `.NAME.XXXXXX.partial`, so that the last step is a
//! rename, which cannot fail halfway. While it grows it is locked (`flock`): a partial file that nobody has locked belongs to a
//! process that was killed, and the next [`Output::create`] of the same name removes it.

#![forbid(unsafe_code)]

use crate::Error;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Bytes that are collected before the system is called; longer pieces go straight through.
const BUFFER_BYTES: usize = 1 << 20;
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
}

impl Output {
    /// Starts a file that will be called `path`. Fails at once where the folder cannot be written or where fewer than
    /// `n_bytes` are free. A file that stands there is replaced in the end, and keeps its permissions.
    pub fn create(path: impl AsRef<Path>, n_bytes: u64) -> Result<Self, Error> {
        let path = path.as_ref();
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
        let name = target.file_name().filter(|_| !path.as_os_str().as_bytes().ends_with(b"/"));
        let Some(name) = name else { return Err(unwritable("it has no file name".into())) };
        let folder = folder_of(&target);
        if !folder.is_dir() {
            let problem = format!("there is no folder {}: create it first", folder.display());
            return Err(unwritable(problem));
        }

        let prefix = prefix(name);
        remove_stale(folder, &prefix);
        check_space(path, folder, n_bytes)?;
        let file = create_locked(folder, &prefix, existing.map(|found| found.permissions()))
            .map_err(Error::io(path, "a file cannot be created in its folder"))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self { path: path.to_owned(), target, file, taken_bytes: 0 })
    }

    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|source| self.failed(source))?;
        self.taken_bytes += bytes.len() as u64;
        Ok(())
    }

    /// fsync, then the final name.
    pub fn finish(mut self) -> Result<(), Error> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().as_file().sync_all())
            .map_err(|e| self.failed(e))?;
        let Self { path, target, file, .. } = self;
        let (file, _) = file.into_parts();
        file.persist(&target).map_err(|error| Error::io(&path, "cannot be given its name")(error.error))?;
        // The name too must survive a power cut. Some file systems cannot sync a folder; the file is there all the same.
        match fs::File::open(folder_of(&target)).and_then(|folder| folder.sync_all()) {
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                Err(Error::io(&path, "is written, but its folder cannot be synced")(error))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let written_bytes = self.taken_bytes.saturating_sub(self.file.buffer().len() as u64);
                Error::DiskFull { path: self.path.clone(), written_bytes }
            }
            io::ErrorKind::FileTooLarge => {
                Error::io(&self.path, "its file system takes no file of this size")(source)
            }
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
    let name = name.as_bytes();
    let mut cut = name.len().min(REPEATED_NAME_BYTES);
    while cut < name.len() && name[cut] & 0xc0 == 0x80 {
        cut -= 1; // inside a character of UTF-8
    }
    OsStr::from_bytes(&[b".", &name[..cut], b"."].concat()).to_owned()
}

fn check_space(path: &Path, folder: &Path, needed_bytes: u64) -> Result<(), Error> {
    let stat = rustix::fs::statvfs(folder)
        .map_err(|errno| Error::io(path, "its disk cannot be asked")(errno.into()))?;
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    // A file system without a size of its own (tmpfs without a limit, some network folders) says 0 blocks.
    if stat.f_blocks > 0 && free_bytes < needed_bytes {
        return Err(Error::NoSpace { path: path.to_owned(), needed_bytes, free_bytes });
    }
    Ok(())
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
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        // Between its creation and its lock another process may have taken it for a stale one.
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let taken = locked == Err(Errno::WOULDBLOCK) || file.as_file().metadata()?.nlink() == 0;
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

/// Removes what killed processes left of a file. Whatever cannot be opened, locked or removed stays: this is a courtesy.
fn remove_stale(folder: &Path, prefix: &OsStr) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if !is_partial(&entry.file_name(), prefix) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(file) = rustix::fs::open(entry.path(), flags, Mode::empty()) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a name is `prefix`, random characters, [`SUFFIX`].
fn is_partial(name: &OsStr, prefix: &OsStr) -> bool {
    let random =
        name.as_bytes().strip_prefix(prefix.as_bytes()).and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    random.is_some_and(|random| random.len() == RANDOM_CHARS && random.iter().all(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let long = vec![b'l'; 2 * BUFFER_BYTES];

        let mut output = Output::create(&path, 0).unwrap();
        output.write(&long).unwrap();
        let [partial] = &names(folder.path())[..] else { panic!("one partial file") };
        assert!(is_partial(OsStr::new(partial), OsStr::new(".m.gguf.")), "{partial}");
        drop(output);
        assert_eq!(names(folder.path()), [""; 0]);

        let mut output = Output::create(&path, 0).unwrap();
        output.write(b"short").unwrap();
        output.write(&long).unwrap();
        assert!(!path.exists());
        output.finish().unwrap();
        assert_eq!(names(folder.path()), ["m.gguf"]);
        assert_eq!(fs::read(&path).unwrap(), [b"short", &long[..]].concat());

        let ordinary = folder.path().join("ordinary");
        fs::File::create(&ordinary).unwrap();
        assert_eq!(mode(&path), mode(&ordinary));
    }

    #[test]
    fn what_is_replaced_keeps_its_permissions_and_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("m.gguf"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o620)).unwrap();
        symlink("m.gguf", &link).unwrap();
        let mut output = Output::create(&link, 0).unwrap();
        output.write(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        output.finish().unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o620));
        assert!(link.is_symlink());
    }

    #[test]
    fn what_cannot_become_a_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        for (path, n_bytes, says) in [
            (folder.path().into(), 0, "this is a directory"),
            (inside("absent/m.gguf"), 0, "there is no folder"),
            (inside("m.gguf/"), 0, "it has no file name"),
            ("".into(), 0, "it has no file name"),
            ("/dev/null".into(), 0, "this is a device"),
            ("/proc/m.gguf".into(), 0, "a file cannot be created in its folder"),
            (inside("m.gguf"), 1 << 62, "needs 4294967296.00 GiB, but its disk has"),
        ] {
            let error = Output::create(&path, n_bytes).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{}: ", path.display())) && error.contains(says), "{error}");
        }
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn only_what_a_dead_process_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let stale = ".m.gguf.aB3dEf.partial";
        let others = [
            ".m.gguf.aB3dE-.partial",
            ".m.gguf.aB3dEfg.partial",
            ".n.gguf.aB3dEf.partial",
            "m.gguf.aB3dEf.partial",
        ];
        [stale].iter().chain(&others).for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        let alive = Output::create(folder.path().join("m.gguf"), 0).unwrap();
        let second = Output::create(folder.path().join("m.gguf"), 0).unwrap();
        let left = names(folder.path());
        assert!(
            !left.contains(&stale.into()) && others.iter().all(|&name| left.contains(&name.into())),
            "{left:?}"
        );
        assert_eq!(left.len(), others.len() + 2, "both that are being written: {left:?}");
        second.finish().unwrap();
        alive.finish().unwrap();
    }

    #[test]
    fn a_name_may_be_as_long_as_names_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".to_string() + &"é".repeat(127));
        Output::create(&path, 0).unwrap().finish().unwrap();
        assert!(path.exists());
    }
}
