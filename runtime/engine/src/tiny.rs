//! Tiny models of random weights, written as the GGUF files that tests open, those of this room and of rooms above it.

use crate::Config;
use blocks::TensorType;
use gguf::{Metadata, Strings, TensorSpec, Writer};
use std::path::Path;

/// A model of these shapes; each field may be changed before it is written.
#[derive(Clone, Debug)]
pub struct Tiny {
    /// Its shapes.
    pub config: Config,
    /// The embedding is the output, too.
    pub tied: bool,
    /// The file has divisors for the rotation's frequencies.
    pub rope_factors: bool,
    /// Type of the matrices.
    pub ty: TensorType,
}

impl Tiny {
    /// Two layers, grouped queries.
    #[expect(clippy::new_without_default, reason = "it is a sample, no default")]
    pub fn new() -> Self {
        let config = Config {
            n_layers: 2,
            dim: 64,
            n_heads: 4,
            n_kv_heads: 2,
            head_dim: 16,
            ffn_dim: 96,
            n_vocab: 300,
            context_length: 128,
            rope_dim: 16,
            rope_base: 10_000.0,
            rope_scale: 1.0,
            norm_eps: 1e-5,
        };
        Self { config, tied: false, rope_factors: false, ty: TensorType::F32 }
    }

    /// Keys and values as a converter writes them.
    pub fn metadata(&self) -> Metadata {
        let config = &self.config;
        let mut metadata = Metadata::default();
        metadata.set("general.architecture", "llama");
        for (key, n) in [
            ("llama.block_count", config.n_layers),
            ("llama.embedding_length", config.dim),
            ("llama.feed_forward_length", config.ffn_dim),
            ("llama.context_length", config.context_length),
            ("llama.attention.head_count", config.n_heads),
            ("llama.attention.head_count_kv", config.n_kv_heads),
            ("llama.attention.key_length", config.head_dim),
            ("llama.attention.value_length", config.head_dim),
            ("llama.rope.dimension_count", config.rope_dim),
        ] {
            metadata.set(key, n as u32);
        }
        metadata.set("llama.attention.layer_norm_rms_epsilon", config.norm_eps);
        metadata.set("llama.rope.freq_base", config.rope_base);
        if config.rope_scale != 1.0 {
            metadata.set("llama.rope.scaling.type", "linear");
            metadata.set("llama.rope.scaling.factor", 1.0 / config.rope_scale);
        }
        let mut tokens = Strings::default();
        let mut types = Vec::new();
        for id in 0..config.n_vocab {
            let (text, ty) = match id {
                0 => ("<unk>".to_owned(), 2),
                1 => ("<s>".to_owned(), 3),
                2 => ("</s>".to_owned(), 3),
                3..259 => (format!("<0x{:02X}>", id - 3), 6),
                _ => (format!("token{id}"), 1),
            };
            tokens.push(text.as_bytes());
            types.push(ty);
        }
        metadata.set("tokenizer.ggml.model", "llama");
        metadata.set("tokenizer.ggml.tokens", tokens);
        metadata.set("tokenizer.ggml.scores", (0..config.n_vocab).map(|id| -(id as f32)).collect::<Vec<_>>());
        metadata.set("tokenizer.ggml.token_type", types);
        metadata.set("tokenizer.ggml.bos_token_id", 1u32);
        metadata.set("tokenizer.ggml.eos_token_id", 2u32);
        metadata
    }

    /// Names and shapes.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let Config { dim, ffn_dim, n_vocab, n_layers, .. } = self.config;
        let (q_dim, kv_dim) = (self.config.q_dim(), self.config.kv_dim());
        let mut tensors = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            let ty = if shape.len() == 1 { TensorType::F32 } else { self.ty };
            tensors.push(TensorSpec { name, shape: shape.iter().map(|&n| n as u64).collect(), ty });
        };
        add("token_embd.weight".into(), &[dim, n_vocab]);
        for l in 0..n_layers {
            let name = |part: &str| format!("blk.{l}.{part}.weight");
            add(name("attn_norm"), &[dim]);
            add(name("attn_q"), &[dim, q_dim]);
            add(name("attn_k"), &[dim, kv_dim]);
            add(name("attn_v"), &[dim, kv_dim]);
            add(name("attn_output"), &[q_dim, dim]);
            add(name("ffn_norm"), &[dim]);
            add(name("ffn_gate"), &[dim, ffn_dim]);
            add(name("ffn_up"), &[dim, ffn_dim]);
            add(name("ffn_down"), &[ffn_dim, dim]);
        }
        add("output_norm.weight".into(), &[dim]);
        if self.rope_factors {
            add("rope_freqs.weight".into(), &[self.config.rope_dim / 2]);
        }
        if !self.tied {
            add("output.weight".into(), &[dim, n_vocab]);
        }
        tensors
    }

    /// Writes and opens it.
    #[cfg(test)]
    pub(crate) fn model(&self) -> crate::Model {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        write(&path, &self.metadata(), &self.tensors());
        crate::Model::open(path).unwrap()
    }
}

/// Writes a file whose tensors hold random weights, the same for the same name.
///
/// # Panics
/// If it cannot be written.
pub fn write(path: &Path, metadata: &Metadata, tensors: &[TensorSpec]) {
    write_changed(path, metadata, tensors, |_, _| ());
}

/// The same, with floats that `change(name, floats)` has gone over.
///
/// # Panics
/// As of [`write()`].
pub fn write_changed(
    path: &Path,
    metadata: &Metadata,
    tensors: &[TensorSpec],
    change: impl Fn(&str, &mut [f32]),
) {
    let mut writer = Writer::create(path, metadata, tensors).unwrap();
    for tensor in tensors {
        let mut random = Random(
            tensor
                .name
                .bytes()
                .fold(0xcbf29ce484222325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100000001b3)),
        );
        let n_bytes = tensor.n_bytes().unwrap() as usize;
        let bytes: Vec<u8> = if tensor.ty == TensorType::F32 {
            let (middle, spread) = if tensor.shape.len() == 1 { (1.0, 0.2) } else { (0.0, 0.5) };
            let mut floats: Vec<f32> = (0..n_bytes / 4).map(|_| middle + spread * random.float()).collect();
            change(&tensor.name, &mut floats);
            floats.iter().flat_map(|float| float.to_le_bytes()).collect()
        } else {
            // Any bytes are blocks. The mask keeps every half that may be a scale below 1/32, whichever bytes it has.
            (0..n_bytes).map(|_| random.next() as u8 & 0xA7).collect()
        };
        writer.write(&bytes).unwrap();
    }
    writer.finish().unwrap();
}

/// Marsaglia's xorshift: any numbers will do, if they are always the same.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// −1 to 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.next() % 20_001) as f32 / 10_000.0 - 1.0
    }
}
