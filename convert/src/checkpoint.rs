//! What is in a folder: a checkpoint in Meta's layout or in Hugging Face's, and what is read of it.
//!
//! What is there decides, not the folder's name: `consolidated.00.pth` is Meta's, `*.safetensors` are Hugging Face's.
//! From here on both are the same thing: hyperparameters, a vocabulary, and tensors by name.

mod hugging_face;
mod meta;

use crate::checklist::Checklist;
use crate::family::Name;
use crate::mapped_file::MappedFile;
use crate::params::{Params, RopeScaling};
use crate::safetensors::Safetensors;
use crate::tensors::Tensors;
use crate::tokenizer::{self, Release, Vocabulary};
use crate::torch::Torch;
use crate::{Error, chat_template};
use hugging_face::HuggingFace;
use meta::Meta;
use quantize::Monitor;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The names in a folder.
type Names = BTreeSet<String>;

/// The files of a checkpoint.
#[derive(Debug)]
pub(crate) enum Checkpoint {
    Meta(Meta),
    HuggingFace(HuggingFace),
}

impl Checkpoint {
    /// Looks for the files.
    pub(crate) fn find(folder: &Path) -> Result<Self, Error> {
        if folder.is_file() {
            return Err(Error::unfit(
                folder,
                "this is a file; name the folder that holds the checkpoint's files",
            ));
        }
        let mut names = Names::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            names.insert(entry.map_err(Error::io(folder))?.file_name().to_string_lossy().into_owned());
        }
        let is_meta = names.iter().any(|name| meta::shard_number(name).is_some());
        let is_hugging_face = names.iter().any(|name| name.ends_with(".safetensors"));
        match (is_meta, is_hugging_face) {
            (true, false) => Meta::find(folder, &names).map(Self::Meta),
            (false, true) => HuggingFace::find(folder, &names).map(Self::HuggingFace),
            (true, true) => Err(Error::unfit(
                folder,
                "it holds a checkpoint in Meta's layout (consolidated.00.pth) and one in Hugging Face's (*.safetensors): \
                 move the files of one of them into a folder of its own",
            )),
            (false, false) => Err(Error::unfit(folder, what_else(&names))),
        }
    }

    /// Every file that is there.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let small: Vec<_> = match self {
            Self::Meta(meta) => meta.small_files().collect(),
            Self::HuggingFace(hugging_face) => hugging_face.small_files().collect(),
        };
        self.weights().iter().chain(small).map(PathBuf::as_path).filter(|file| file.exists())
    }

    /// The files with the weights, at least one.
    pub(crate) fn weights(&self) -> &[PathBuf] {
        match self {
            Self::Meta(meta) => &meta.shards,
            Self::HuggingFace(hugging_face) => &hugging_face.weights,
        }
    }

    /// The MD5 sums that came with it.
    pub(crate) fn checklists(&self, monitor: &dyn Monitor) -> Result<Vec<Checklist>, Error> {
        match self {
            Self::Meta(meta) => meta.checklists(monitor),
            Self::HuggingFace(_) => Ok(Vec::new()),
        }
    }

    /// The hyperparameters.
    pub(crate) fn params(&self) -> Result<Params, Error> {
        match self {
            Self::Meta(meta) => Params::read_meta(&meta.params),
            Self::HuggingFace(hugging_face) => Params::read_hugging_face(&hugging_face.config),
        }
    }

    /// The tensors. `files`: the [weights](Self::weights), mapped.
    pub(crate) fn tensors<'a>(
        &'a self,
        files: &'a [MappedFile],
    ) -> Result<Vec<Box<dyn Tensors<'a> + 'a>>, Error> {
        match self {
            Self::Meta(_) => files
                .iter()
                .map(|file| Torch::parse(file).map(|torch| Box::new(torch) as Box<dyn Tensors<'a>>))
                .collect(),
            Self::HuggingFace(hugging_face) => {
                let all = Safetensors::parse(files, hugging_face.index.as_deref())?;
                Ok(vec![Box::new(all)])
            }
        }
    }

    /// The vocabulary, a token for each of `n_rows` rows of the embedding.
    pub(crate) fn vocabulary(
        &self,
        n_rows: u64,
        params: &Params,
        name: &Name,
        monitor: &dyn Monitor,
    ) -> Result<Vocabulary, Error> {
        match self {
            Self::Meta(meta) => {
                let later = matches!(params.rope_scaling, RopeScaling::Llama3(_));
                let release = Release { later, instruct: name.says_instruct() };
                tokenizer::read_meta(&meta.tokenizer, n_rows, release)
            }
            Self::HuggingFace(hugging_face) => {
                tokenizer::read_hugging_face(&hugging_face.tokenizer, n_rows, monitor)
            }
        }
    }

    /// The chat template that came with it, and the file that has it.
    pub(crate) fn chat_template(&self) -> Result<Option<(String, &Path)>, Error> {
        match self {
            Self::Meta(_) => Ok(None),
            Self::HuggingFace(hugging_face) => {
                chat_template::of_folder(&hugging_face.chat_template, &hugging_face.tokenizer.config)
            }
        }
    }

    /// For the output's keys.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Meta(_) => "Meta checkpoint",
            Self::HuggingFace(_) => "Hugging Face folder",
        }
    }
}

/// What a folder without a checkpoint is.
fn what_else(names: &Names) -> &'static str {
    let any = |end: &str| names.iter().any(|name| name.ends_with(end));
    if any("pytorch_model.bin") || any("pytorch_model.bin.index.json") {
        "this folder has Hugging Face's layout with weights in PyTorch's format (pytorch_model.bin), which llamita does \
         not read; download the *.safetensors of the model, or save it again with `save_pretrained`"
    } else if names.contains("config.json") {
        "this folder has Hugging Face's config.json and no weights: model.safetensors is missing; download it too"
    } else if any(".gguf") {
        "there is no checkpoint in this folder, but a GGUF: `llamita quantize` changes the type of one"
    } else {
        "there is no consolidated.00.pth in this folder and no model.safetensors; name the one that holds it, with its \
         params.json or config.json"
    }
}
