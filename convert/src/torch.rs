//! One file that `torch.save` wrote: a zip with a pickle that describes tensors, and their numbers beside it.
//!
//! The file is mapped. Its zip directory ([`zip`]) is parsed where it lies, its pickle ([`pickle`]) from a copy, a few
//! kilobytes in all; a tensor is then a [`View`] of mapped bytes, and no number is touched until it is converted.
//! Nothing in the file is ever run: the pickle machine can build tuples, dictionaries and descriptions of tensors, and
//! knows no way to call anything.

mod pickle;
mod zip;

use crate::mapped_file::MappedFile;
use crate::tensors::{Strided, Tensors, View};
use crate::{Error, foreign};
use pickle::TensorEntry;
use std::collections::HashMap;
use std::path::Path;
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

/// What one file's pickle describes.
pub(crate) struct Torch<'a> {
    path: &'a Path,
    archive: Archive<'a>,
    entries: HashMap<&'a str, TensorEntry<'a>>,
}

impl<'a> Torch<'a> {
    /// Parses the directory and the pickle. No tensor has been checked yet: [`view`](Tensors::view) does.
    pub(crate) fn parse(file: &'a MappedFile) -> Result<Self, Error> {
        let path = file.path();
        foreign::torch(file.bytes()).map_err(|problem| Error::unfit(path, problem))?;
        let archive = Archive::parse(file.bytes()).map_err(|fault| fault.in_file(path, 0))?;
        let (base, pickle) = archive.pickle().map_err(|fault| fault.in_file(path, 0))?;
        let mut entries = HashMap::new();
        for (name, entry) in
            pickle::state_dict(file.copy_of(pickle)).map_err(|fault| fault.in_file(path, base))?
        {
            if entries.insert(name, entry).is_some() {
                return Err(Error::malformed(path, format_args!("tensor `{name}`"), "it is described twice"));
            }
        }
        Ok(Self { path, archive, entries })
    }
}

impl<'a> Tensors<'a> for Torch<'a> {
    fn path(&self) -> &'a Path {
        self.path
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.entries.keys().copied())
    }

    fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn view(&self, name: &str) -> Result<View<'a>, Error> {
        let fault = |problem: String| Error::malformed(self.path, format_args!("tensor `{name}`"), problem);
        let TensorEntry { storage, offset, shape, strides } =
            self.entries.get(name).ok_or_else(|| fault("it is missing".into()))?;
        let bytes = self.archive.storage(storage.key).map_err(|fault| fault.in_file(self.path, 0))?;
        let Some(ty) = storage.storage.ty else {
            let name = storage.storage.name;
            return Err(fault(format!("it is a torch.{name}; llamita converts f32, f16 and bf16")));
        };
        let n_available = bytes.len() as u64 / ty.block_bytes() as u64;
        if storage.n_elements > n_available {
            return Err(fault(format!(
                "its storage `{}` should have {} numbers and has {n_available}; the file is damaged: download it again",
                storage.key, storage.n_elements
            )));
        }
        let strided = Strided { offset: *offset, shape, strides };
        View::new(self.path, ty, strided, bytes, storage.key).map_err(fault)
    }
}
