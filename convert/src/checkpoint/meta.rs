//! Meta's folder.
//!
//! ```text
//! llama-2-13b/consolidated.00.pth  consolidated.01.pth  params.json  checklist.chk
//! tokenizer.model  tokenizer_checklist.chk          (beside these, or in the parent, shared by all sizes)
//! ```

use super::Names;
use crate::Error;
use crate::checklist::Checklist;
use quantize::Monitor;
use std::path::{Path, PathBuf};

/// The files of a checkpoint.
#[derive(Debug)]
pub(crate) struct Meta {
    /// `consolidated.00.pth` and on, all of them.
    pub(super) shards: Vec<PathBuf>,
    pub(super) params: PathBuf,
    pub(super) tokenizer: PathBuf,
    /// May not exist.
    pub(super) checklist: PathBuf,
    /// The tokenizer's own list; may not exist.
    pub(super) tokenizer_checklist: PathBuf,
}

impl Meta {
    /// Finds the files in a folder that has at least one shard. Only their names are looked at.
    pub(super) fn find(folder: &Path, names: &Names) -> Result<Self, Error> {
        let numbers: Vec<usize> = names.iter().filter_map(|name| shard_number(name)).collect();
        let last = numbers.iter().copied().max().unwrap_or(0);
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

    /// The files beside the shards.
    pub(super) fn small_files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.params, &self.tokenizer, &self.checklist, &self.tokenizer_checklist].into_iter()
    }

    /// The lists of MD5 sums, after the small files have been checked against them and every listed shard was found.
    pub(super) fn checklists(&self, monitor: &dyn Monitor) -> Result<Vec<Checklist>, Error> {
        let list = Checklist::read(&self.checklist)?;
        if list.is_none() {
            let path = self.checklist.display();
            monitor.note(&format!("{path} is not there: the files' MD5 sums are not checked"));
        }
        let n_shards = self.shards.len();
        if let Some(missing) = list
            .iter()
            .flat_map(Checklist::names)
            .find(|name| shard_number(name).is_some_and(|n| n >= n_shards))
        {
            let problem = "this shard is missing, though checklist.chk lists it; download it too";
            return Err(Error::unfit(&self.checklist.with_file_name(missing), problem));
        }
        let lists: Vec<_> =
            [list, Checklist::read(&self.tokenizer_checklist)?].into_iter().flatten().collect();
        for file in [&self.params, &self.tokenizer] {
            lists.iter().try_for_each(|list| list.check_small(file))?;
        }
        Ok(lists)
    }
}

fn shard_name(number: usize) -> String {
    format!("consolidated.{number:02}.pth")
}

/// The number in a shard's name: two digits.
pub(super) fn shard_number(name: &str) -> Option<usize> {
    let number = name.strip_prefix("consolidated.")?.strip_suffix(".pth")?;
    (number.len() == 2 && number.bytes().all(|digit| digit.is_ascii_digit()))
        .then(|| number.parse().ok())
        .flatten()
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
