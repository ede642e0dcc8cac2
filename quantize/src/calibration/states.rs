//! The residual streams on the disk, so that a run that was killed goes on before the layer that it had reached.
//!
//! Beside the output, `.NAME.states`: a line that says what was being made and before which layer, the floats, and the hash
//! of both. Written whole or not at all; removed when the output has its name.

use gguf::{Error, Fingerprint, Metadata, Output, TensorSpec};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

const FORMAT: &str = "llamita states 1";

/// Bytes that are read or written at a time.
const PIECE_BYTES: usize = 4 << 20;

/// The file of one output.
#[derive(Debug)]
pub(crate) struct States {
    path: PathBuf,
    /// What the states follow from.
    source: u64,
}

impl States {
    /// For an output of these keys and tensors that follows from `source`.
    pub(crate) fn of(output: &Path, metadata: &Metadata, specs: &[TensorSpec], source: &Fingerprint) -> Self {
        let mut source = source.clone();
        source.add(format!("{metadata:?}").as_bytes());
        for spec in specs {
            source.add(format!("{spec:?}").as_bytes());
        }
        Self::new(output, &source)
    }

    /// For an output that follows from `source`.
    pub(crate) fn new(output: &Path, source: &Fingerprint) -> Self {
        let mut name = OsString::from(".");
        name.push(output.file_name().unwrap_or_default());
        name.push(".states");
        Self { path: output.with_file_name(name), source: source.sum() }
    }

    fn first_line(&self, layer: usize) -> String {
        format!("{FORMAT} {:016x} {layer:08}\n", self.source)
    }

    /// Replaces what is there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn save(&self, layer: usize, parts: &[&[u8]]) -> Result<(), Error> {
        let line = self.first_line(layer);
        let n_bytes = parts.iter().map(|part| part.len()).sum::<usize>() + line.len() + 8;
        let mut output = Output::create(&self.path, n_bytes as u64)?;
        let mut hash = Fingerprint::default();
        let pieces = parts.iter().flat_map(|part| part.chunks(PIECE_BYTES));
        for piece in std::iter::once(line.as_bytes()).chain(pieces) {
            hash.add(piece);
            output.write(piece)?;
        }
        output.write(&hash.sum().to_le_bytes())?;
        output.finish()
    }

    /// Reads them back, if they are there, whole, and of this source, into the parts that there are `before` a layer: which
    /// it is. If not, the parts may hold anything.
    pub(crate) fn load<'a>(&self, before: impl FnOnce(usize) -> Vec<&'a mut [u8]>) -> Option<usize> {
        let mut file = File::open(&self.path).ok()?;
        let mut line = vec![0; self.first_line(0).len()];
        file.read_exact(&mut line).ok()?;
        let layer = str::from_utf8(&line).ok()?.trim_end().rsplit(' ').next()?.parse().ok()?;
        if line != self.first_line(layer).as_bytes() {
            return None;
        }
        let mut hash = Fingerprint::default();
        hash.add(&line);
        for part in before(layer) {
            for piece in part.chunks_mut(PIECE_BYTES) {
                file.read_exact(piece).ok()?;
                hash.add(piece);
            }
        }
        let mut sum = [0; 8];
        file.read_exact(&mut sum).ok()?;
        (u64::from_le_bytes(sum) == hash.sum() && file.read(&mut sum).ok()? == 0).then_some(layer)
    }

    /// Removes the file, if there is one.
    pub(crate) fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_whole_and_of_the_same_source_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out.gguf");
        let source = |text: &str| {
            let mut source = Fingerprint::default();
            source.add(text.as_bytes());
            source
        };
        let states = States::new(&output, &source("a"));
        let mut read = [0; 3];
        let load = |states: &States, read: &mut [u8]| {
            states.load(|_| {
                let (one, other) = read.split_at_mut(1);
                vec![one, other]
            })
        };
        assert_eq!(load(&states, &mut read), None);
        states.save(7, &[&[1], &[2, 3]]).unwrap();
        states.save(8, &[&[1], &[2, 4]]).unwrap();
        assert_eq!((load(&states, &mut read), read), (Some(8), [1, 2, 4]));
        for n in [2, 4] {
            assert_eq!(load(&states, &mut vec![0; n]), None, "{n} bytes");
        }
        assert_eq!(load(&States::new(&output, &source("b")), &mut read), None);
        let path = folder.path().join(".out.gguf.states");
        let bytes = std::fs::read(&path).unwrap();
        for at in [0, 20, bytes.len() - 10, bytes.len() - 1] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(load(&states, &mut read), None, "byte {at}");
        }
        states.remove();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
}
