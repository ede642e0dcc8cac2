//! What the choice of types asks of a model.

use gguf::{KeyError, Metadata};

/// A model's counts, as far as the choice of types depends on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Architecture {
    /// Layers.
    pub n_layers: u64,
    /// Query heads of the first layer.
    pub n_heads: u64,
    /// Key and value heads of the first layer.
    pub n_kv_heads: u64,
    /// Experts of a layer; 0: it has none.
    pub n_experts: u64,
}

impl Architecture {
    /// As a file's keys tell; 0 where they do not.
    ///
    /// # Errors
    /// If a key is there and holds no number.
    pub fn of(keys: &Metadata) -> Result<Self, KeyError> {
        let name = keys.str("general.architecture")?.unwrap_or_default();
        let count = |what: &str| -> Result<Option<u64>, KeyError> {
            let key = format!("{name}.{what}");
            // Some architectures have a number for each layer.
            keys.uint(&key).or_else(|error| match keys.ints(&key) {
                Ok(Some(all)) => Ok(all.first().map(|&first| first.max(0) as u64)),
                _ => Err(error),
            })
        };
        let n_heads = count("attention.head_count")?.unwrap_or(0);
        Ok(Self {
            n_layers: count("block_count")?.unwrap_or(0),
            n_heads,
            n_kv_heads: count("attention.head_count_kv")?.unwrap_or(n_heads),
            n_experts: count("expert_count")?.unwrap_or(0),
        })
    }

    /// Query heads that share a key and value head.
    pub(crate) fn n_shared(&self) -> u64 {
        self.n_heads.checked_div(self.n_kv_heads).unwrap_or(0)
    }

    /// Whether it is the 70B model's shape: its value matrices are an eighth of its queries', so that more bits for them
    /// are nearly free.
    pub(crate) fn is_70b(&self) -> bool {
        self.n_layers == 80 && self.n_heads != self.n_kv_heads && self.n_experts != 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguf::{Array, Value};

    #[test]
    fn keys_are_read_under_the_architectures_name() {
        let mut keys = Metadata::default();
        assert_eq!(Architecture::of(&keys).unwrap(), Architecture::default());
        keys.set("general.architecture", "llama");
        keys.set("llama.block_count", Value::U32(80));
        keys.set("llama.attention.head_count", Value::Array(Array::I32(vec![64; 80])));
        let expected = Architecture { n_layers: 80, n_heads: 64, n_kv_heads: 64, n_experts: 0 };
        assert_eq!(Architecture::of(&keys).unwrap(), expected);
        assert!(!expected.is_70b());
        keys.set("llama.attention.head_count_kv", Value::U64(8));
        let grouped = Architecture::of(&keys).unwrap();
        assert!(grouped.is_70b() && grouped.n_shared() == 8);
        keys.set("llama.expert_count", "eight");
        assert!(Architecture::of(&keys).unwrap_err().to_string().contains("llama.expert_count"));
    }
}
