//! Meta's folder: which files a checkpoint consists of.
//!
//! ```text
//! llama-2-13b/consolidated.00.pth  consolidated.01.pth  params.json  checklist.chk
//! tokenizer.model  tokenizer_checklist.chk          (beside these, or in the parent, shared by all sizes)
//! ```

use crate::Error;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The files of a checkpoint.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// `consolidated.00.pth` and on, all of them.
    pub(crate) shards: Vec<PathBuf>,
    pub(crate) params: PathBuf,
    pub(crate) tokenizer: PathBuf,
    /// May not exist.
    pub(crate) checklist: PathBuf,
    /// The tokenizer's own list; may not exist.
    pub(crate) tokenizer_checklist: PathBuf,
}

impl Checkpoint {
    /// Looks for the files. Only their names are looked at.
    pub(crate) fn find(folder: &Path) -> Result<Self, Error> {
        if folder.is_file() {
            return Err(Error::unfit(
                folder,
                "this is a file; name the folder that holds the checkpoint's files",
            ));
        }
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            names.insert(entry.map_err(Error::io(folder))?.file_name().to_string_lossy().into_owned());
        }
        let numbers: BTreeSet<usize> = names.iter().filter_map(|name| shard_number(name)).collect();
        let Some(&last) = numbers.last() else { return Err(Error::unfit(folder, what_else(&names))) };
        if let Some(missing) = (0..last).find(|number| !numbers.contains(number)) {
            let problem =
                format!("this shard is missing, though {} is there; download it too", shard_name(last));
            return Err(Error::unfit(&folder.join(shard_name(missing)), problem));
        }
        let params = folder.join("params.json");
        if !params.exists() {
            return Err(Error::unfit(
                &params,
                "it is missing; Meta's download has it beside consolidated.00.pth",
            ));
        }
        // Of `.`, the name alone has no parent.
        let parent = folder.canonicalize().map_err(Error::io(folder))?.parent().map(Path::to_owned);
        let mut homes = [Some(folder.to_owned()), parent].into_iter().flatten();
        let home = homes.find(|home| home.join("tokenizer.model").exists()).ok_or_else(|| {
            Error::unfit(
                &folder.join("tokenizer.model"),
                "it is missing, here and in the parent folder; copy it here",
            )
        })?;
        Ok(Self {
            shards: (0..=last).map(|number| folder.join(shard_name(number))).collect(),
            params,
            tokenizer: home.join("tokenizer.model"),
            checklist: folder.join("checklist.chk"),
            tokenizer_checklist: home.join("tokenizer_checklist.chk"),
        })
    }

    /// Every file that is there.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let rest = [&self.params, &self.tokenizer, &self.checklist, &self.tokenizer_checklist];
        self.shards.iter().chain(rest).map(PathBuf::as_path).filter(|file| file.exists())
    }
}

fn shard_name(number: usize) -> String {
    format!("consolidated.{number:02}.pth")
}

/// The number in a shard's name: two digits.
pub(crate) fn shard_number(name: &str) -> Option<usize> {
    let number = name.strip_prefix("consolidated.")?.strip_suffix(".pth")?;
    (number.len() == 2 && number.bytes().all(|digit| digit.is_ascii_digit()))
        .then(|| number.parse().ok())
        .flatten()
}

/// What a folder without shards is.
fn what_else(names: &BTreeSet<String>) -> &'static str {
    let any = |end: &str| names.iter().any(|name| name.ends_with(end));
    if any(".safetensors") || names.contains("config.json") || names.contains("pytorch_model.bin") {
        "this folder has Hugging Face's layout, which llamita does not convert yet; it converts Meta's own \
         (consolidated.00.pth, params.json, tokenizer.model)"
    } else if any(".gguf") {
        "there is no checkpoint in this folder, but a GGUF: `llamita quantize` changes the type of one"
    } else {
        "there is no consolidated.00.pth in this folder; name the one that holds it, with params.json beside it"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_have_two_digits() {
        let cases = [
            ("consolidated.00.pth", Some(0)),
            ("consolidated.07.pth", Some(7)),
            ("consolidated.7.pth", None),
            ("consolidated.+7.pth", None),
            ("consolidated.00.pth.part", None),
            ("consolidated.pth", None),
        ];
        for (name, number) in cases {
            assert_eq!(shard_number(name), number, "{name}");
        }
    }
}
