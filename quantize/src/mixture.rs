//! Which type each matrix gets in a file of a name.
//!
//! The choices are llama.cpp's, so that a file called `q4_k_m` has the same types whoever made it. They come from
//! experience: the output matrix's errors reach the logits undiluted; the value matrices are small where heads share
//! them; the matrices down from the feed-forward length see the largest activations, and the first and last layers are
//! the most sensitive. What llama.cpp does in a cascade of conditions is a table here, in `rules`.

mod rules;
#[cfg(test)]
mod tests;

use crate::{Architecture, FileType};
use blocks::TensorType;

/// A tensor of the model that is quantized.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Its name in a GGUF.
    pub name: &'a str,
    /// Columns first.
    pub shape: &'a [u64],
    /// How it is stored now.
    pub ty: TensorType,
}

impl<'a> From<&'a gguf::TensorInfo> for Tensor<'a> {
    fn from(info: &'a gguf::TensorInfo) -> Self {
        Self { name: &info.name, shape: &info.shape, ty: info.ty }
    }
}

impl Tensor<'_> {
    /// Weights in a row.
    pub(crate) fn n_cols(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Whether it is what a file's type is about.
    pub(crate) fn is_quantizable(&self) -> bool {
        FileType::is_quantizable(self.name, self.shape)
    }

    /// The number in its name; none for what stands once.
    pub(crate) fn layer(&self) -> Option<u64> {
        self.name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
    }
}

/// What part a matrix has in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    TokenEmbedding,
    /// The output matrix, or the embedding where it serves as both.
    Output,
    /// What makes values: alone, or fused with what makes queries and keys.
    Value,
    Key,
    AttentionOutput,
    Down,
    Other,
}

impl Category {
    /// Of a matrix of this name. `tied`: there is no `output.weight`.
    pub(crate) fn of(name: &str, tied: bool) -> Self {
        const PARTS: [(&str, Category); 6] = [
            ("attn_qkv.weight", Category::Value),
            ("attn_kv_b.weight", Category::Value),
            ("attn_v.weight", Category::Value),
            ("attn_k.weight", Category::Key),
            ("attn_output.weight", Category::AttentionOutput),
            ("ffn_down", Category::Down),
        ];
        match name {
            "output.weight" => Self::Output,
            "token_embd.weight" if tied => Self::Output,
            "token_embd.weight" => Self::TokenEmbedding,
            _ => PARTS
                .iter()
                .find(|(part, _)| name.contains(part))
                .map_or(Self::Other, |(_, category)| *category),
        }
    }
}

/// Where in the model a matrix stands.
struct Place<'a> {
    model: &'a Architecture,
    has_imatrix: bool,
    /// Layers before this one that have such a matrix, and how many have one.
    at: u64,
    n: u64,
}

/// The type that each tensor would get if rows were of any length; none for what is no matrix.
pub(crate) fn types(
    file_type: FileType,
    model: &Architecture,
    has_imatrix: bool,
    tensors: &[Tensor<'_>],
) -> Vec<Option<TensorType>> {
    let tied = is_tied(tensors);
    let mut in_layers: Vec<usize> = (0..tensors.len()).filter(|&i| tensors[i].is_quantizable()).collect();
    in_layers.sort_by_key(|&i| (tensors[i].layer(), tensors[i].name));
    let n_values =
        in_layers.iter().filter(|&&i| Category::of(tensors[i].name, tied) == Category::Value).count();
    let (mut values, mut downs) = (0.., 0..);
    let mut types = vec![None; tensors.len()];
    for i in in_layers {
        let (tensor, category) = (&tensors[i], Category::of(tensors[i].name, tied));
        let (at, n) = match category {
            Category::Value => (values.next(), n_values as u64),
            // A layer's experts may be as many tensors.
            Category::Down if model.n_experts > 1 => (tensor.layer(), model.n_layers),
            Category::Down => (downs.next(), model.n_layers),
            _ => (None, 0),
        };
        let place = Place { model, has_imatrix, at: at.unwrap_or(0), n };
        types[i] = Some(of_matrix(file_type, tensor, category, &place));
    }
    types
}

/// Whether the embedding serves as output matrix too.
pub(crate) fn is_tied(tensors: &[Tensor<'_>]) -> bool {
    !tensors.iter().any(|tensor| tensor.name == "output.weight")
}

fn of_matrix(file_type: FileType, tensor: &Tensor<'_>, category: Category, place: &Place<'_>) -> TensorType {
    let most = file_type.matrices();
    if !most.is_quantized() {
        return most;
    }
    let is_expert = tensor.shape.get(2).is_some_and(|&n| n > 1);
    match (file_type, category) {
        (FileType::Q8_0, _) => TensorType::Q8_0,
        (FileType::Mxfp4Moe, category) => {
            if is_expert && category != Category::Output {
                TensorType::Mxfp4
            } else {
                TensorType::Q8_0
            }
        }
        (_, Category::Output) if most.row_bytes(tensor.n_cols()).is_none() => TensorType::Q8_0,
        (_, Category::Output) => TensorType::Q6K,
        (_, Category::Value | Category::Key) if place.model.n_experts == 8 => TensorType::Q8_0,
        _ => {
            let ty = rules::find(file_type, category, place).unwrap_or(most);
            let is_small = [TensorType::Q3K, TensorType::Q4K].contains(&ty);
            let is_cheap = category == Category::Value && place.model.is_70b();
            if is_small && is_cheap { TensorType::Q5K } else { ty }
        }
    }
}
