//! Which type each tensor of a file that is written shall get.

use crate::error::Error;
use blocks::TensorType;
use quantize::{FileType, Imatrix, Pin, Recipe};
use std::path::PathBuf;

/// What goes before the mixture that the type's name stands for.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Types of single tensors")]
pub(crate) struct RecipeFlags {
    /// Give all matrices the one type that most of this name have
    #[arg(long)]
    pure: bool,
    /// Give matrices in whose name a regular expression is found another type, such as 'ffn_down=q6_k' or
    /// 'blk\.[0-3]\.=q8_0'. May be repeated: the first that fits counts
    #[arg(long, value_name = "REGEX=TYPE", value_parser = str::parse::<Pin>)]
    tensor_type: Vec<Pin>,
    /// Type of the output matrix, or of the embedding where it serves as both
    #[arg(long, alias = "output-tensor-type", value_name = "TYPE", value_parser = quantize::encodable)]
    output_type: Option<TensorType>,
    /// Type of the embedding
    #[arg(long, value_name = "TYPE", value_parser = quantize::encodable)]
    token_embedding_type: Option<TensorType>,
    /// Leave the output matrix, or the embedding where it serves as both, as it is
    #[arg(long, alias = "leave-output-tensor", conflicts_with = "output_type")]
    leave_output: bool,
    /// Let errors fall where they count least: an importance matrix of this model, by llamita imatrix or llama-imatrix
    #[arg(long, value_name = "FILE")]
    imatrix: Option<PathBuf>,
}

impl RecipeFlags {
    /// A file of this type, but for what the flags say.
    pub(crate) fn recipe(&self, file_type: FileType) -> Recipe {
        Recipe {
            file_type,
            pure: self.pure,
            pins: self.tensor_type.clone(),
            output_type: self.output_type,
            token_embedding_type: self.token_embedding_type,
            leave_output: self.leave_output,
        }
    }

    /// Whether there is an importance matrix.
    pub(crate) fn has_imatrix(&self) -> bool {
        self.imatrix.is_some()
    }

    /// The importance matrix, read.
    pub(crate) fn imatrix(&self) -> Result<Option<Imatrix>, Error> {
        let read = |path: &PathBuf| Imatrix::read(path).map_err(|error| Error::quantize(path, error));
        self.imatrix.as_ref().map(read).transpose()
    }
}
