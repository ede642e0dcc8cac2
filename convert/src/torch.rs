//! One file that `torch.save` wrote: a zip with a pickle that describes tensors, and their numbers beside it.
//!
//! The file is mapped. Its zip directory ([`zip`]) is parsed where it lies, its pickle ([`pickle`]) from a copy, a few
//! kilobytes in all; a tensor is then a [`View`] of mapped bytes, and no number is touched until it is converted.
//! Nothing in the file is ever run: the pickle machine can build tuples, dictionaries and descriptions of tensors, and
//! knows no way to call anything.

mod foreign;
mod pickle;
mod tensor;
mod zip;

pub(crate) use tensor::View;

use crate::Error;
use memmap2::Mmap;
use pickle::TensorEntry;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use zip::Archive;

/// What is wrong with some bytes of a file, before the file's name is known.
#[derive(Debug)]
struct Fault {
    /// From the start of the bytes that were parsed.
    offset: usize,
    /// What was being read.
    field: &'static str,
    /// What is wrong, and what was expected.
    problem: String,
}

impl Fault {
    fn new(offset: usize, field: &'static str, problem: impl Into<String>) -> Self {
        Self { offset, field, problem: problem.into() }
    }

    /// With the file's name. `base`: where the parsed bytes begin in it.
    fn in_file(self, path: &Path, base: usize) -> Error {
        Error::malformed(path, format_args!("at byte {}, {}", base + self.offset, self.field), self.problem)
    }
}

/// A mapped file.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    map: Mmap,
    /// A copy of its pickle, once it was asked for: text must not change while it is borrowed, and a map may.
    pickle: OnceLock<Vec<u8>>,
}

impl MappedFile {
    /// Maps a file that has at least one byte.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let found = std::fs::metadata(path).map_err(Error::io(path))?;
        if !found.is_file() {
            return Err(Error::unfit(path, "it is no regular file"));
        }
        if found.len() == 0 {
            return Err(Error::unfit(path, "the file is empty; download it again"));
        }
        let file = File::open(path).map_err(Error::io(path))?;
        // SAFETY: the map is private and read-only, so no one writes through it. That nobody shortens the file while it
        // is mapped is the caller's environment: a program that does so ends this one with SIGBUS and corrupts
        // nothing. Every number read from the map is checked after it was read, and none is read twice; text is
        // taken from a copy (`pickle`).
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
        // A hint: the numbers are read once, in long runs. Refusing it costs nothing but time.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::Sequential);
        Ok(Self { path: path.to_owned(), map, pickle: OnceLock::new() })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }
}

/// What one file's pickle describes.
pub(crate) struct Tensors<'a> {
    path: &'a Path,
    archive: Archive<'a>,
    entries: HashMap<&'a str, TensorEntry<'a>>,
}

impl<'a> Tensors<'a> {
    /// Parses the directory and the pickle. No tensor has been checked yet: [`view`](Self::view) does.
    pub(crate) fn parse(file: &'a MappedFile) -> Result<Self, Error> {
        let path = file.path();
        foreign::recognize(file.bytes()).map_err(|problem| Error::unfit(path, problem))?;
        let archive = Archive::parse(file.bytes()).map_err(|fault| fault.in_file(path, 0))?;
        let (base, pickle) = archive.pickle().map_err(|fault| fault.in_file(path, 0))?;
        let mut entries = HashMap::new();
        for (name, entry) in pickle::state_dict(file.pickle.get_or_init(|| pickle.to_vec()))
            .map_err(|fault| fault.in_file(path, base))?
        {
            if entries.insert(name, entry).is_some() {
                return Err(Error::malformed(path, format_args!("tensor `{name}`"), "it is described twice"));
            }
        }
        Ok(Self { path, archive, entries })
    }

    /// The file.
    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    /// All names, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.keys().copied()
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The tensor of this name, checked against the bytes that its storage really has.
    pub(crate) fn view(&self, name: &str) -> Result<View<'a>, Error> {
        let fault = |problem: String| Error::malformed(self.path, format_args!("tensor `{name}`"), problem);
        let entry = self.entries.get(name).ok_or_else(|| fault("it is missing".into()))?;
        let bytes = self.archive.storage(entry.storage.key).map_err(|fault| fault.in_file(self.path, 0))?;
        View::new(entry, bytes).map_err(fault)
    }
}
