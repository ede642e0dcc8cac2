//! The zip that `torch.save` writes, as slices of the mapped file.
//!
//! A zip is read from its end: a fixed record there says where the directory lies, the directory says where each entry
//! begins, and an entry's own short header says where its bytes begin. Torch stores entries uncompressed and pads them
//! to 64 bytes, so that a tensor's numbers *are* bytes of the file; that is all that is read here, by hand, because zip
//! libraries read through a cursor and would copy what is already in memory. A compressed entry is refused: it was not
//! torch that wrote it, and its size would be only a claim.
//!
//! An entry's CRC is not checked: it would take a second pass over all bytes. `checklist.chk` has the stronger sum.

use super::Fault;
use gguf::Shown;
use std::collections::HashMap;

/// What precedes a comment at the file's end, and the longest comment: the last record lies within these bytes.
const END_BYTES: usize = 22;
const MAX_COMMENT_BYTES: usize = 0xffff;
/// Torch's own pickles have about 100 bytes for each tensor: 100 KB for the largest Llama.
const MAX_PICKLE_BYTES: usize = 4 << 20;

const DIRECTORY: &str = "zip directory";

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where the directory speaks of it: the place of an error.
    at: usize,
    header: u64,
    n_bytes: u64,
    stored: bool,
}

/// A zip's directory. Entries are checked as they are asked for.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    entries: HashMap<&'a [u8], Entry>,
    /// The folder inside the zip that holds everything, with its slash.
    root: &'a [u8],
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (mut at, n_entries) = directory(bytes)?;
        let mut entries = HashMap::new();
        let mut root = None;
        for _ in 0..n_entries {
            let record = at;
            let fault = |problem: &str| Fault::new(record, DIRECTORY, problem);
            let cut = || fault("the record reaches past the file's end");
            if u32_at(bytes, at).ok_or_else(cut)? != 0x0201_4b50 {
                return Err(fault("no directory record where one was announced; the file is damaged"));
            }
            let field = |offset: usize| u16_at(bytes, record + offset).ok_or_else(cut);
            let (name_bytes, extra_bytes) = (usize::from(field(28)?), usize::from(field(30)?));
            let name = bytes.get(at + 46..at + 46 + name_bytes).ok_or_else(cut)?;
            let extra_at = at + 46 + name_bytes;
            let extra = bytes.get(extra_at..extra_at + extra_bytes).ok_or_else(cut)?;
            let mut sizes = [24, 20, 42].map(|offset| u32_at(bytes, record + offset).map(u64::from));
            widen(&mut sizes, extra);
            let [Some(n_bytes), Some(packed_bytes), Some(header)] = sizes else {
                return Err(fault("a 64-bit size is announced and missing"));
            };
            let stored = field(10)? == 0 && field(8)? & 1 == 0 && n_bytes == packed_bytes;
            if entries.insert(name, Entry { at, header, n_bytes, stored }).is_some() {
                return Err(fault(&format!(
                    "the entry `{}` stands twice",
                    Shown(&String::from_utf8_lossy(name))
                )));
            }
            if let Some(folder) = name.strip_suffix(b"data.pkl")
                && (folder.is_empty() || folder.ends_with(b"/"))
                && root.replace(folder).is_some()
            {
                return Err(fault("two entries are called data.pkl; torch.save writes one"));
            }
            at = extra_at + extra_bytes + usize::from(field(32)?);
        }
        let root = root.ok_or_else(|| {
            Fault::new(0, DIRECTORY, "no entry is called data.pkl: this zip was not written by torch.save")
        })?;
        let archive = Self { bytes, entries, root };
        if let Some((at, order)) = archive.entry(b"byteorder")?
            && order != b"little"
        {
            return Err(Fault::new(
                at,
                "byteorder",
                "its numbers are big-endian; llamita reads little-endian ones",
            ));
        }
        Ok(archive)
    }

    /// Where the pickle begins, and its bytes.
    pub(super) fn pickle(&self) -> Result<(usize, &'a [u8]), Fault> {
        let (at, pickle) = self.entry(b"data.pkl")?.expect("the directory was searched for it");
        if pickle.len() > MAX_PICKLE_BYTES {
            let problem = format!(
                "it has {} bytes; no checkpoint of a Llama has over {MAX_PICKLE_BYTES}",
                pickle.len()
            );
            return Err(Fault::new(at, "data.pkl", problem));
        }
        Ok((at, pickle))
    }

    /// The bytes of a storage.
    pub(super) fn storage(&self, key: &str) -> Result<&'a [u8], Fault> {
        match self.entry(&[b"data/", key.as_bytes()].concat())? {
            Some((_, bytes)) => Ok(bytes),
            None => Err(Fault::new(
                0,
                DIRECTORY,
                format!("no entry data/{}, which the pickle names as a storage", Shown(key)),
            )),
        }
    }

    /// An entry of the root folder: where its bytes begin, and they.
    fn entry(&self, name: &[u8]) -> Result<Option<(usize, &'a [u8])>, Fault> {
        let Some(&Entry { at, header, n_bytes, stored }) = self.entries.get(&*[self.root, name].concat())
        else {
            return Ok(None);
        };
        let name = String::from_utf8_lossy(name);
        let name = Shown(&name);
        let fault = |problem: String| Fault::new(at, DIRECTORY, problem);
        if !stored {
            let problem =
                "is compressed or encrypted; torch.save stores entries as they are: unpack and save it again";
            return Err(fault(format!("the entry {name} {problem}")));
        }
        let past_end = || fault(format!("the entry {name} ({n_bytes} bytes) reaches past the file's end"));
        let header = usize::try_from(header).map_err(|_| past_end())?;
        let local = self.bytes.get(header..).filter(|local| local.len() >= 30).ok_or_else(past_end)?;
        if u32_at(local, 0) != Some(0x0403_4b50) {
            return Err(fault(format!("the entry {name} does not begin at byte {header}, as announced")));
        }
        let lengths = [26, 28].map(|offset| u16_at(local, offset).map_or(0, usize::from));
        let start = header + 30 + lengths[0] + lengths[1];
        let end = usize::try_from(n_bytes).ok().and_then(|n| start.checked_add(n)).ok_or_else(past_end)?;
        Ok(Some((start, self.bytes.get(start..end).ok_or_else(past_end)?)))
    }
}

/// Where the directory begins, and how many records it has: no more than fit into the file.
fn directory(bytes: &[u8]) -> Result<(usize, u64), Fault> {
    let first = bytes.len().saturating_sub(END_BYTES + MAX_COMMENT_BYTES);
    let end = (first..=bytes.len().saturating_sub(END_BYTES)).rev().find(|&at| {
        u32_at(bytes, at) == Some(0x0605_4b50)
            && u16_at(bytes, at + 20)
                .is_some_and(|comment| at + END_BYTES + usize::from(comment) == bytes.len())
    });
    let Some(end) = end else {
        let problem = "a zip ends with its directory, this file does not: the download was cut short; download it again";
        return Err(Fault::new(bytes.len(), "end of the file", problem));
    };
    let fault = |problem: &str| Fault::new(end, DIRECTORY, problem);
    let mut place = (u16_at(bytes, end + 10).map(u64::from), u32_at(bytes, end + 16).map(u64::from));
    // Torch always writes the 64-bit record; its locator lies straight before the last one.
    if let Some(locator) = end.checked_sub(20).filter(|&at| u32_at(bytes, at) == Some(0x0706_4b50)) {
        let wide = u64_at(bytes, locator + 8).and_then(|at| usize::try_from(at).ok());
        let wide = wide.filter(|&at| at < locator && u32_at(bytes, at) == Some(0x0606_4b50));
        let at = wide.ok_or_else(|| fault("the 64-bit end record is not where its locator says"))?;
        place = (u64_at(bytes, at + 32), u64_at(bytes, at + 48));
    }
    let (Some(n_entries), Some(start)) = place else { return Err(fault("the end record is cut short")) };
    match usize::try_from(start) {
        Ok(start) if start <= end && n_entries <= ((end - start) / 46) as u64 => Ok((start, n_entries)),
        _ => Err(fault(&format!("{n_entries} records from byte {start} on do not fit into the file"))),
    }
}

/// Replaces those of (size, packed size, offset) that say "see the 64-bit field" by that field's, in order.
fn widen(sizes: &mut [Option<u64>; 3], mut extra: &[u8]) {
    while let (Some(id), Some(n)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let Some(mut field) = extra.get(4..4 + usize::from(n)) else { break };
        if id == 1 {
            for size in sizes.iter_mut().filter(|size| **size == Some(u64::from(u32::MAX))) {
                *size = u64_at(field, 0);
                field = field.get(8..).unwrap_or_default();
            }
            return;
        }
        extra = &extra[4 + usize::from(n)..];
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}
