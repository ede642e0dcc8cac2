//! What a model has to do for a token, counted from its file.

use super::limits::Limit;
use super::measure::Test;
use engine::{Matrix, MemoryPlan, Model, SessionOptions};
use serde::Serialize;
use std::collections::BTreeMap;

/// Reads and multiplications of a model.
#[derive(Serialize)]
pub(super) struct Work {
    file_bytes: u64,
    /// All tensors, but of the embedding, where it is not the output matrix too, a row alone.
    weight_bytes_per_token: u64,
    /// Keys and values of a token in the context.
    kv_bytes_per_token: u64,
    /// Multiplications of a weight by an activation in the layers, and then for the logits of a token that wants them.
    layer_macs_per_token: u64,
    output_macs: u64,
    /// Multiplications that the last layer is spared for a token without logits: all but of keys and values.
    last_layer_spared_macs: u64,
    /// What bounds a prompt; `None`: some matrices are of floats, and some are not.
    prompt_limit: Option<Limit>,
    kernels: Vec<Kernel>,
}

/// A type of weights and what multiplies it.
#[derive(Serialize)]
pub(super) struct Kernel {
    #[serde(rename = "type")]
    ty: &'static str,
    level: &'static str,
    n_matrices: usize,
}

impl Work {
    pub(super) fn new(model: &Model, options: &SessionOptions) -> Self {
        let (file, weights) = (model.file(), model.weights());
        let is_tied = file.tensor("output.weight").is_none();
        let read = file.tensors().iter().filter(|tensor| is_tied || tensor.name != "token_embd.weight");
        let macs = |matrix: &Matrix| matrix.n_rows as u64 * matrix.n_cols as u64;
        let output_macs = macs(&weights.output);
        let spared = weights.layers.last().map_or(0, |last| {
            let matrices = [&last.attn_q, &last.attn_output, &last.ffn_gate, &last.ffn_up, &last.ffn_down];
            matrices.into_iter().map(macs).sum()
        });
        let mut types = BTreeMap::new();
        for matrix in weights.matrices() {
            *types.entry(matrix.ty).or_insert(0) += 1;
        }
        let kernels = types.iter().filter_map(|(ty, &n_matrices)| {
            let level = kernels::kernel(*ty, options.isa)?;
            Some(Kernel { ty: ty.name(), level, n_matrices })
        });
        Self {
            file_bytes: file.n_bytes(),
            weight_bytes_per_token: read.map(|tensor| tensor.n_bytes).sum(),
            kv_bytes_per_token: MemoryPlan::new(model, options).kv_bytes_per_token,
            layer_macs_per_token: weights.matrices().map(macs).sum::<u64>() - output_macs,
            output_macs,
            last_layer_spared_macs: spared,
            prompt_limit: [(true, Limit::Int8), (false, Limit::F32)]
                .into_iter()
                .find_map(|(q, limit)| types.keys().all(|ty| ty.is_quantized() == q).then_some(limit)),
            kernels: kernels.collect(),
        }
    }

    /// What bounds a test.
    pub(super) fn limit(&self, test: Test) -> Option<Limit> {
        if test.is_prompt { self.prompt_limit } else { Some(Limit::Bandwidth) }
    }

    /// What a test does of that which its limit counts.
    pub(super) fn done(&self, test: Test) -> f64 {
        match test.is_prompt {
            true => self.prompt_macs(test) as f64,
            false => self.bytes_per_token(test) as f64 * test.n_tokens as f64,
        }
    }

    /// Bytes that a token of a text reads, in the middle of the test.
    pub(super) fn bytes_per_token(&self, test: Test) -> u64 {
        self.weight_bytes_per_token + self.kv_bytes_per_token * (test.depth + test.n_tokens / 2) as u64
    }

    /// Multiplications by weights in a prompt, whose last token alone gets logits.
    fn prompt_macs(&self, test: Test) -> u64 {
        let n = test.n_tokens as u64;
        self.layer_macs_per_token * n - self.last_layer_spared_macs * n.saturating_sub(1) + self.output_macs
    }

    /// `Q4_0 by avx512, Q6_K by avx2`.
    pub(super) fn kernels(&self) -> String {
        let kernel = |kernel: &Kernel| format!("{} by {}", kernel.ty, kernel.level);
        self.kernels.iter().map(kernel).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }
}
