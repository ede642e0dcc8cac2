//! Hugging Face's folder.
//!
//! ```text
//! model.safetensors                                    or its parts:
//! model-00001-of-00002.safetensors  …  model.safetensors.index.json
//! config.json  tokenizer.json or tokenizer.model  tokenizer_config.json  chat_template.jinja
//! ```

use super::Names;
use crate::tokenizer::Files;
use crate::{Error, json};
use gguf::Shown;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The index of the largest Llama has 100 KB.
const MAX_INDEX_BYTES: u64 = 2 << 20;

/// The files of a checkpoint.
#[derive(Debug)]
pub(crate) struct HuggingFace {
    pub(super) weights: Vec<PathBuf>,
    /// Where there are several.
    pub(super) index: Option<PathBuf>,
    pub(super) config: PathBuf,
    pub(super) tokenizer: Files,
    /// May not exist.
    pub(super) chat_template: PathBuf,
}

#[derive(Deserialize)]
struct Index {
    /// The file of each tensor.
    weight_map: BTreeMap<String, String>,
}

impl HuggingFace {
    /// Finds the files in a folder that has at least one safetensors file.
    pub(super) fn find(folder: &Path, names: &Names) -> Result<Self, Error> {
        let config = folder.join("config.json");
        if !names.contains("config.json") {
            let problem = "it is missing; Hugging Face's folders have it beside the *.safetensors";
            return Err(Error::unfit(&config, problem));
        }
        let has_tokenizer = ["tokenizer.json", "tokenizer.model"].iter().any(|name| names.contains(*name));
        if !has_tokenizer {
            let problem = "it is missing, and so is tokenizer.model; download one of them too";
            return Err(Error::unfit(&folder.join("tokenizer.json"), problem));
        }
        let (weights, index) = weights(folder, names)?;
        let chat_template = folder.join("chat_template.jinja");
        Ok(Self { weights, index, config, tokenizer: Files::of(folder), chat_template })
    }

    /// The files beside the weights.
    pub(super) fn small_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.index.iter().chain([&self.config, &self.chat_template]).chain(self.tokenizer.all())
    }
}

/// The files with the weights, and their index. An index counts first: beside it, there may be other files.
fn weights(folder: &Path, names: &Names) -> Result<(Vec<PathBuf>, Option<PathBuf>), Error> {
    if names.contains(INDEX) {
        let path = folder.join(INDEX);
        let index: Index = json::read(&path, MAX_INDEX_BYTES, "index of safetensors")?;
        let files: BTreeSet<_> = index.weight_map.into_values().collect();
        for name in &files {
            // A path would lead out of the folder.
            let is_name = Path::new(name).file_name().is_some_and(|file| file == name.as_str());
            let place = format!("file `{}`", Shown(name));
            if !is_name || !name.ends_with(".safetensors") {
                return Err(Error::malformed(&path, place, "this is no name of a safetensors file"));
            }
            if !names.contains(name) {
                let problem = format!("it is missing, though {INDEX} names it; download it too");
                return Err(Error::unfit(&folder.join(name), problem));
            }
        }
        if files.is_empty() {
            return Err(Error::malformed(&path, "key `weight_map`", "it names no file"));
        }
        return Ok((files.iter().map(|name| folder.join(name)).collect(), Some(path)));
    }
    if names.contains(SINGLE) {
        return Ok((vec![folder.join(SINGLE)], None));
    }
    let problem = if names.iter().any(|name| name.starts_with("adapter_")) {
        "it holds an adapter (adapter_model.safetensors) and no model; merge it into its model first"
    } else {
        "it has safetensors files, but neither model.safetensors nor model.safetensors.index.json, which would tell which of \
         them are the model"
    };
    Err(Error::unfit(folder, problem))
}
