//! Importance matrices: how much an error in each column of a matrix counts.
//!
//! An error in a weight reaches the output multiplied by its input, so its squared cost is the input's mean square, which
//! a run over a text gives. The file is llama.cpp's (a GGUF whose `general.type` is `imatrix`), so that theirs and ours
//! can be swapped:
//!
//! | tensor or key | what |
//! |---|---|
//! | `NAME.in_sum2` | F32, `n_cols`: Σx² of each input of the matrix `NAME` |
//! | `NAME.counts` | F32, 1: tokens that were summed |
//! | `imatrix.datasets` | the texts' names |
//! | `imatrix.chunk_size` `imatrix.chunk_count` | tokens of a window, windows |

mod collect;

pub use collect::Reading;

use crate::{Error, Tensor};
use blocks::TensorType;
use gguf::{File, Metadata, Strings, TensorSpec, Value, Writer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// An input that was always 0 still has some importance, relative to the mean, or its weights could become anything: the
/// text may not have shown all there is.
const FLOOR: f32 = 1e-5;

/// Sums over a text's tokens, by the matrix's name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imatrix {
    /// Where it was read; for errors.
    path: PathBuf,
    datasets: Vec<String>,
    n_windows: u32,
    context: u32,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    /// Σx² a column.
    sums: Vec<f64>,
    n_tokens: u64,
}

impl Imatrix {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is no GGUF, no importance matrix, or holds what no sum of squares can be.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let file = File::open(path)?;
        let fail = |problem: String| Error::Imatrix { path: file.path().to_owned(), problem };
        let key_error = |source| Error::Key { path: file.path().to_owned(), source };
        let keys = file.metadata();
        if keys.str("general.type").map_err(key_error)? != Some("imatrix") {
            return Err(fail("this is no importance matrix (its `general.type` is not `imatrix`)".into()));
        }
        let uint = |key: &str| Ok::<_, Error>(keys.uint(key).map_err(key_error)?.unwrap_or(0));
        let datasets = keys.strings("imatrix.datasets").map_err(key_error)?;
        let mut entries = BTreeMap::new();
        for tensor in file.tensors() {
            let Some(name) = tensor.name.strip_suffix(SUMS) else { continue };
            let counts_name = format!("{name}{COUNTS}");
            let counts = file
                .tensor(&counts_name)
                .ok_or_else(|| fail(format!("tensor `{}` has no `{counts_name}` beside it", tensor.name)))?;
            let read = |tensor| {
                floats(&file, tensor).ok_or_else(|| fail(format!("tensor `{}` must hold F32", tensor.name)))
            };
            let (all, counts) = (read(tensor)?, read(counts)?);
            if let Some(at) = all.iter().chain(&counts).position(|x| !(x.is_finite() && *x >= 0.0)) {
                let value = all.iter().chain(&counts).nth(at).expect("it was found");
                return Err(fail(format!(
                    "tensor `{}`, number {at}: {value} is no sum of squares; the file is damaged",
                    tensor.name
                )));
            }
            // Experts have a row and a count each; a dense matrix has one.
            let n_cols = tensor.n_cols() as usize;
            let mut sums = vec![0.0; n_cols];
            for row in all.chunks_exact(n_cols.max(1)) {
                sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
            }
            let n_tokens = counts.iter().map(|&n| f64::from(n)).sum::<f64>() as u64;
            if n_tokens == 0 || sums.iter().all(|&sum| sum == 0.0) {
                return Err(fail(format!(
                    "matrix `{name}` was never used: its sums are all zero. Collect the importance over a longer text"
                )));
            }
            entries.insert(name.to_owned(), Entry { sums, n_tokens });
        }
        if entries.is_empty() {
            return Err(fail(format!("it has no tensor `NAME{SUMS}`: there is nothing in it")));
        }
        Ok(Self {
            datasets: datasets
                .map(|all| all.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
                .unwrap_or_default(),
            n_windows: uint("imatrix.chunk_count")? as u32,
            context: uint("imatrix.chunk_size")? as u32,
            path: file.path().to_owned(),
            entries,
        })
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let mut keys = Metadata::default();
        keys.set("general.type", "imatrix");
        keys.set("imatrix.datasets", self.datasets.iter().collect::<Strings>());
        keys.set("imatrix.chunk_count", Value::U32(self.n_windows));
        keys.set("imatrix.chunk_size", Value::U32(self.context));
        let spec =
            |name: String, n: usize| TensorSpec { name, shape: vec![n as u64, 1], ty: TensorType::F32 };
        let mut specs = Vec::new();
        for (name, entry) in &self.entries {
            specs.push(spec(format!("{name}{SUMS}"), entry.sums.len()));
            specs.push(spec(format!("{name}{COUNTS}"), 1));
        }
        let mut writer = Writer::create(path, &keys, &specs)?;
        for entry in self.entries.values() {
            let sums: Vec<u8> = entry.sums.iter().flat_map(|&sum| (sum as f32).to_le_bytes()).collect();
            writer.write(&sums)?;
            writer.write(&(entry.n_tokens as f32).to_le_bytes())?;
        }
        Ok(writer.finish()?)
    }

    /// Refuses a model that it does not belong to: each matrix of its layers must have an entry of the right length.
    ///
    /// # Errors
    /// A sentence that names the first matrix that has none.
    pub fn check(&self, model: &File) -> Result<(), Error> {
        let tensors = model.tensors().iter().map(Tensor::from).collect::<Vec<_>>();
        self.check_tensors(&tensors, model.path())
    }

    /// The same for the tensors of a model that is in the making of `source`.
    ///
    /// # Errors
    /// As of [`check`](Self::check).
    pub fn check_tensors(&self, tensors: &[Tensor<'_>], source: &Path) -> Result<(), Error> {
        for tensor in tensors.iter().filter(|tensor| tensor.is_quantizable()) {
            let problem = match self.entries.get(tensor.name) {
                // Embeddings are looked up, not multiplied; the output is left out unless asked for.
                None if !tensor.name.starts_with("blk.") => continue,
                None => "has nothing for it".to_owned(),
                Some(entry) if entry.sums.len() as u64 != tensor.n_cols() => {
                    format!("has {} columns for it, not {}", entry.sums.len(), tensor.n_cols())
                }
                Some(_) => continue,
            };
            return Err(Error::Imatrix {
                path: self.path.clone(),
                problem: format!(
                    "this importance matrix {problem}: `{}` of {}. It was collected with another model",
                    tensor.name,
                    source.display()
                ),
            });
        }
        Ok(())
    }

    /// Factors for the columns of a matrix, positive, with mean 1; `None` if it has no entry.
    pub fn importance(&self, name: &str) -> Option<Vec<f32>> {
        let sums = &self.entries.get(name)?.sums;
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        Some(sums.iter().map(|sum| ((sum / mean) as f32).max(FLOOR)).collect())
    }

    /// Where it was read; empty for one that was collected.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says in a file's keys that it was used, under llama.cpp's names.
    pub fn describe(&self, keys: &mut Metadata) {
        keys.set("quantize.imatrix.file", &*self.path.to_string_lossy());
        if let Some(dataset) = self.datasets.first() {
            keys.set("quantize.imatrix.dataset", &**dataset);
        }
        keys.set("quantize.imatrix.entries_count", self.entries.len() as u32);
        if self.n_windows > 0 {
            keys.set("quantize.imatrix.chunks_count", self.n_windows);
        }
    }

    /// Windows that were summed.
    pub fn n_windows(&self) -> u32 {
        self.n_windows
    }

    /// Matrices that have an entry.
    pub fn n_matrices(&self) -> usize {
        self.entries.len()
    }
}

/// A tensor's numbers; `None` if they are not F32.
fn floats(file: &File, tensor: &gguf::TensorInfo) -> Option<Vec<f32>> {
    let (numbers, _) = file.bytes(tensor).as_chunks::<4>();
    let numbers = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes));
    if tensor.ty == TensorType::F32 { Some(numbers.collect()) } else { None }
}

#[cfg(test)]
mod tests;
