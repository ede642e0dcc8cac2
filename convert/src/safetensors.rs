//! Hugging Face's safetensors: the length of a header, the header's JSON, numbers.
//!
//! The header gives each tensor a type, a shape and the bytes from where to where its numbers lie. It is parsed here,
//! and not by the format's library, because that one reads from a slice whose text it takes for constant, which a
//! mapped file is not, and because its errors know no place.

use crate::mapped_file::MappedFile;
use crate::tensors::{self, Strided, Tensors, View};
use crate::{Error, foreign, json};
use blocks::TensorType;
use gguf::Shown;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// The largest Llama, in one file, would need 200 KB.
const MAX_HEADER_BYTES: u64 = 4 << 20;

/// The header's length.
const LENGTH_BYTES: usize = 8;

/// Types that weights come in, by the format's names.
const TYPES: [(&str, TensorType); 3] =
    [("F32", TensorType::F32), ("F16", TensorType::F16), ("BF16", TensorType::Bf16)];

/// All files of a folder.
pub(crate) struct Safetensors<'a> {
    /// The index, or the only file.
    path: &'a Path,
    entries: HashMap<String, Entry<'a>>,
}

/// A tensor as its header claims it to be, and the bytes that it names, which are there.
struct Entry<'a> {
    path: &'a Path,
    dtype: String,
    shape: Vec<u64>,
    bytes: &'a [u8],
}

impl<'a> Safetensors<'a> {
    /// Parses the headers of at least one file. No tensor's shape has been checked yet: [`view`](Tensors::view) does.
    pub(crate) fn parse(files: &'a [MappedFile], index: Option<&'a Path>) -> Result<Self, Error> {
        let mut entries: HashMap<String, Entry<'a>> = HashMap::new();
        for file in files {
            for (name, entry) in parse_file(file)? {
                if let Some(other) = entries.get(&name) {
                    let problem = format_args!("it is in {} too", other.path.display()).to_string();
                    return Err(Error::malformed(file.path(), place(&name), problem));
                }
                entries.insert(name, entry);
            }
        }
        Ok(Self { path: index.unwrap_or_else(|| files[0].path()), entries })
    }
}

impl<'a> Tensors<'a> for Safetensors<'a> {
    fn path(&self) -> &'a Path {
        self.path
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.entries.keys().map(String::as_str))
    }

    fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn view(&self, name: &str) -> Result<View<'a>, Error> {
        let Some(Entry { path, dtype, shape, bytes }) = self.entries.get(name) else {
            return Err(Error::malformed(self.path, place(name), "it is missing"));
        };
        let fault = |problem: String| Error::malformed(path, place(name), problem);
        let Some(&(_, ty)) = TYPES.iter().find(|(name, _)| name == dtype) else {
            let dtype = Shown(dtype);
            return Err(fault(format!("its numbers are {dtype}; llamita converts F32, F16 and BF16")));
        };
        let n_bytes = shape.iter().try_fold(ty.block_bytes() as u64, |n, &length| n.checked_mul(length));
        if n_bytes != Some(bytes.len() as u64) {
            let n = bytes.len();
            let shape = tensors::brief(shape);
            return Err(fault(format!(
                "its shape is {shape} of {dtype}, and it has {n} bytes, which do not go together"
            )));
        }
        // No product overflows: the whole one did not, and where a length is 0, the view is refused.
        let strides: Vec<u64> = (1..=shape.len())
            .map(|i| shape[i..].iter().fold(1, |n: u64, &next| n.saturating_mul(next)))
            .collect();
        View::new(path, ty, Strided { offset: 0, shape, strides: &strides }, bytes, Shown(name))
            .map_err(fault)
    }
}

fn place(name: &str) -> String {
    format!("tensor `{}`", Shown(name))
}

/// The tensors of one file: each has bytes of its own, and all of them are there.
fn parse_file(file: &MappedFile) -> Result<Vec<(String, Entry<'_>)>, Error> {
    let (path, bytes) = (file.path(), file.bytes());
    if let Some(problem) = foreign::failed_download(bytes) {
        return Err(Error::unfit(path, problem));
    }
    let fault =
        |at: usize, problem: String| Error::malformed(path, format_args!("at byte {at}, header"), problem);
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(fault(
            0,
            "the file ends before it: the download was cut short; download it again".into(),
        ));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER_BYTES {
        let problem = "this is no safetensors file, or a damaged one; download it again";
        return Err(fault(
            0,
            format!("a length of {length}, and no Llama's has over {MAX_HEADER_BYTES}: {problem}"),
        ));
    }
    let Some((header, numbers)) = rest.split_at_checked(length as usize) else {
        let n = rest.len();
        return Err(fault(
            0,
            format!(
                "a length of {length}, and {n} bytes follow: the download was cut short; download it again"
            ),
        ));
    };
    // A copy: text must not change while it is parsed, and a map may.
    let header = header.to_vec();
    let Header(tensors) = json::parse(&header).map_err(|(line, column, problem)| {
        let before: usize =
            header.split_inclusive(|&byte| byte == b'\n').take(line - 1).map(<[u8]>::len).sum();
        fault(
            LENGTH_BYTES + before + column.saturating_sub(1),
            format!("no description of tensors: {problem}"),
        )
    })?;

    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_unstable_by_key(|&i| tensors[i].1.data_offsets);
    let mut before: Option<usize> = None;
    for i in order {
        let (name, Described { data_offsets: [start, end], .. }) = &tensors[i];
        let problem = if start > end || *end > numbers.len() as u64 {
            format!(
                "its bytes are said to go from {start} to {end} after the header, and {} are there; the download was cut \
                 short, or the file is damaged: download it again",
                numbers.len()
            )
        } else if let Some(other) = before.filter(|&other| tensors[other].1.data_offsets[1] > *start) {
            format!(
                "its bytes are those of `{}` too; the file is damaged: download it again",
                Shown(&tensors[other].0)
            )
        } else {
            before = Some(i);
            continue;
        };
        return Err(Error::malformed(path, place(name), problem));
    }
    let entry = |(name, Described { dtype, shape, data_offsets: [start, end] })| {
        // Both are at most a slice's length.
        (name, Entry { path, dtype, shape, bytes: &numbers[start as usize..end as usize] })
    };
    Ok(tensors.into_iter().map(entry).collect())
}

#[derive(Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<u64>,
    /// From the header's end: the first byte, and the one after the last.
    data_offsets: [u64; 2],
}

/// The tensors of a header in its order. What the writer noted beside them is passed over.
struct Header(Vec<(String, Described)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let (mut tensors, mut names) = (Vec::new(), std::collections::HashSet::new());
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("tensor `{name}` is described twice")));
                    }
                    tensors.push((name, map.next_value()?));
                }
                Ok(Header(tensors))
            }
        }
        deserializer.deserialize_map(Tensors)
    }
}
