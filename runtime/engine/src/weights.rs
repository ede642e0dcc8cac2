//! Where each matrix lies in the file, and the checks that it is there in the shape and type that the model needs.
//!
//! Weights are places, not bytes. A session brings them to its kernels from there: from the map of the file
//! ([`Model::rows`](crate::Model::rows)), or, where the model is bigger than memory, piece by piece from the disk.

use crate::{Config, Error};
use blocks::TensorType;
use gguf::{File, TensorInfo};
use kernels::Packing;
use std::collections::HashMap;

/// The divisors of the rotation's frequencies.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// A weight matrix of the file.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Type of its blocks.
    pub ty: TensorType,
    /// Rows: outputs.
    pub n_rows: usize,
    /// Columns: inputs.
    pub n_cols: usize,
    /// Its place in [`gguf::File::tensors`].
    pub tensor: usize,
}

/// A vector, as a norm's weights are: the place of a row of F32 in [`gguf::File::tensors`].
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// Its place.
    pub tensor: usize,
}

/// The matrices and norms of a layer, by their names in the file.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are GGUF's")]
pub struct Layer {
    pub attn_norm: Norm,     // dim
    pub attn_q: Matrix,      // n_heads * head_dim × dim
    pub attn_k: Matrix,      // n_kv_heads * head_dim × dim
    pub attn_v: Matrix,      // n_kv_heads * head_dim × dim
    pub attn_output: Matrix, // dim × n_heads * head_dim
    pub ffn_norm: Norm,      // dim
    pub ffn_gate: Matrix,    // ffn_dim × dim
    pub ffn_up: Matrix,      // ffn_dim × dim
    pub ffn_down: Matrix,    // dim × ffn_dim
}

impl Layer {
    /// In the order of a pass.
    pub(crate) fn matrices(&self) -> [&Matrix; 7] {
        let Self { attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down, .. } = self;
        [attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down]
    }
}

/// All weights of a model.
#[derive(Clone, Debug)]
pub struct Weights {
    /// A row a token.
    pub token_embd: Matrix,
    /// First to last.
    pub layers: Vec<Layer>,
    /// Before the output.
    pub output_norm: Norm,
    /// A row a token; the embedding itself where the file has no other (tied embeddings).
    pub output: Matrix,
    /// What divides the frequency of each pair of the rotation (Llama 3.1 and later), `rope_dim / 2` positive numbers.
    pub rope_factors: Option<Norm>,
    /// Bytes of all of them in the file.
    pub n_bytes: u64,
}

impl Weights {
    /// Finds and checks every tensor of a model of this shape.
    ///
    /// # Errors
    /// If one is missing, has another shape, a type without kernels, or if the file has tensors that a `llama` model
    /// does not: leaving them out would change what the model says.
    pub fn from_gguf(file: &File, config: &Config) -> Result<Self, Error> {
        let Config { dim, ffn_dim, n_vocab, .. } = *config;
        let (q_dim, kv_dim) = (config.q_dim(), config.kv_dim());
        let mut found = Tensors::new(file);
        let token_embd = found.matrix("token_embd.weight", n_vocab, dim)?;
        let output = match file.tensor("output.weight") {
            Some(_) => found.matrix("output.weight", n_vocab, dim)?,
            None => token_embd.clone(),
        };
        let output_norm = found.norm("output_norm.weight", dim)?;
        let rope_factors = match file.tensor(ROPE_FACTORS) {
            Some(_) => Some(found.rope_factors(config.rope_dim / 2)?),
            None => None,
        };
        // Not with_capacity: the number of layers is only what the file says until its tensors are there.
        let mut layers = Vec::new();
        for l in 0..config.n_layers {
            let name = |part: &str| format!("blk.{l}.{part}.weight");
            layers.push(Layer {
                attn_norm: found.norm(&name("attn_norm"), dim)?,
                attn_q: found.matrix(&name("attn_q"), q_dim, dim)?,
                attn_k: found.matrix(&name("attn_k"), kv_dim, dim)?,
                attn_v: found.matrix(&name("attn_v"), kv_dim, dim)?,
                attn_output: found.matrix(&name("attn_output"), dim, q_dim)?,
                ffn_norm: found.norm(&name("ffn_norm"), dim)?,
                ffn_gate: found.matrix(&name("ffn_gate"), ffn_dim, dim)?,
                ffn_up: found.matrix(&name("ffn_up"), ffn_dim, dim)?,
                ffn_down: found.matrix(&name("ffn_down"), dim, ffn_dim)?,
            });
        }
        found.refuse_the_rest()?;
        Ok(Self { token_embd, layers, output_norm, output, rope_factors, n_bytes: found.taken_bytes })
    }

    /// All matrices that are multiplied, in the order of a pass.
    pub fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        self.layers.iter().flat_map(Layer::matrices).chain([&self.output])
    }

    /// All vectors.
    pub(crate) fn vectors(&self) -> impl Iterator<Item = Norm> {
        let of_layers = self.layers.iter().flat_map(|layer| [layer.attn_norm, layer.ffn_norm]);
        of_layers.chain([self.output_norm]).chain(self.rope_factors)
    }
}

/// The tensors of a file that have not been asked for yet.
struct Tensors<'a> {
    file: &'a File,
    left: HashMap<&'a str, usize>,
    taken_bytes: u64,
}

impl<'a> Tensors<'a> {
    fn new(file: &'a File) -> Self {
        let left = file.tensors().iter().enumerate().map(|(at, info)| (info.name.as_str(), at)).collect();
        Self { file, left, taken_bytes: 0 }
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<(usize, &'a TensorInfo), Error> {
        let Some(at) = self.left.remove(name) else {
            return Err(Error::model(
                self.file,
                format!("tensor `{name}` is missing: the file is no whole `llama` model"),
            ));
        };
        let info = &self.file.tensors()[at];
        if !info.shape.iter().copied().eq(shape.iter().map(|&n| n as u64)) {
            return Err(Error::model(
                self.file,
                format!("tensor `{name}` has the shape {:?}, but the metadata ask for {shape:?}", info.shape),
            ));
        }
        self.taken_bytes += info.n_bytes;
        Ok((at, info))
    }

    fn matrix(&mut self, name: &str, n_rows: usize, n_cols: usize) -> Result<Matrix, Error> {
        let (tensor, info) = self.take(name, &[n_cols, n_rows])?;
        if Packing::of(info.ty).is_none() {
            let known = TensorType::all().filter(|&ty| Packing::of(ty).is_some()).map(TensorType::name);
            return Err(Error::model(
                self.file,
                format!(
                    "tensor `{name}` is of the type {}, which this build cannot multiply: it knows {}",
                    info.ty,
                    known.collect::<Vec<_>>().join(", ")
                ),
            ));
        }
        Ok(Matrix { ty: info.ty, n_rows, n_cols, tensor })
    }

    fn norm(&mut self, name: &str, len: usize) -> Result<Norm, Error> {
        let (tensor, info) = self.take(name, &[len])?;
        if info.ty != TensorType::F32 {
            return Err(Error::model(
                self.file,
                format!("tensor `{name}` is of the type {}: a vector must be F32", info.ty),
            ));
        }
        if !info.offset.is_multiple_of(align_of::<f32>() as u64) {
            return Err(Error::model(
                self.file,
                format!("tensor `{name}` lies at byte {}: floats must lie at a multiple of 4", info.offset),
            ));
        }
        Ok(Norm { tensor })
    }

    fn rope_factors(&mut self, len: usize) -> Result<Norm, Error> {
        let factors = self.norm(ROPE_FACTORS, len)?;
        let bytes = self.file.bytes(&self.file.tensors()[factors.tensor]);
        let (numbers, _) = bytes.as_chunks::<4>();
        let bad = |x: &f32| !(x.is_finite() && *x > 0.0);
        match numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).find(bad) {
            Some(x) => Err(Error::model(
                self.file,
                format!(
                    "tensor `{ROPE_FACTORS}` divides a frequency by {x}, not by a positive number: the file is damaged"
                ),
            )),
            None => Ok(factors),
        }
    }

    fn refuse_the_rest(&self) -> Result<(), Error> {
        // Tables of the rotation that old converters left in are computed here from the metadata.
        let left = self.left.iter().filter(|(name, _)| !name.ends_with(".attn_rot_embd.weight"));
        let Some((name, _)) = left.min_by_key(|(_, at)| **at) else { return Ok(()) };
        let is_bias = name.ends_with(".bias");
        let name = gguf::Shown(name);
        Err(Error::model(
            self.file,
            if is_bias {
                format!("tensor `{name}`: a model with biases is not supported")
            } else {
                format!(
                    "tensor `{name}` is none that a `llama` model of this shape has: \
                     without it the model would say something else"
                )
            },
        ))
    }
}
