//! Keys and values of the tokens so far.
//!
//! One anonymous map for the whole context: `[layer][k, v][kv head]`, and in a head positions as the kernels lay them
//! out for their type ([`kernels::CacheType`]). Attention reads a straight stream. The map is address space only; the
//! system gives a page when a token is first stored in it. A long context therefore costs what was said in it, and
//! growth calls no allocator.

use crate::{Config, Error};
use kernels::{CacheType, CacheTypes, NewTokens, Team};
use memmap2::{MmapMut, MmapOptions};

/// Positions of a tile: a head's room is whole tiles.
const TILE: usize = kernels::ATTENTION_TILE;

/// The cache of one session.
#[derive(Debug)]
pub(crate) struct KvCache {
    map: MmapMut,
    types: CacheTypes,
    head_dim: usize,
    n_kv_heads: usize,
    /// A layer's keys, all heads; its values follow.
    k_bytes: usize,
    /// A layer's keys and values.
    layer_bytes: usize,
}

impl KvCache {
    /// Reserves the address space for `context` tokens.
    ///
    /// # Errors
    /// If the system refuses the space.
    pub(crate) fn new(config: &Config, context: usize, types: CacheTypes) -> Result<Self, Error> {
        let refused = |size: &str, why: &str| {
            Error::Request(format!(
                "cannot reserve {size} of address space for the KV cache of {context} tokens: {why}. \
                 A smaller context (--context) needs less"
            ))
        };
        let n_bytes = Self::n_bytes(config, context, types);
        let len = n_bytes.and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= isize::MAX as usize);
        let len = len.ok_or_else(|| refused("so much", "it is more than this machine can address"))?;
        let map = MmapOptions::new().len(len).no_reserve_swap().map_anon();
        let map = map.map_err(|why| refused(&format!("{} MiB", len.div_ceil(1 << 20)), &why.to_string()))?;
        // A huge page would take 2 MiB for the first token of every head. A kernel without them refuses the advice,
        // and then there is nothing to prevent.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::NoHugePage);
        let Config { n_kv_heads, head_dim, n_layers, .. } = *config;
        let k_bytes = n_kv_heads * context.next_multiple_of(TILE) * types.k.position_bytes(head_dim);
        Ok(Self { map, types, head_dim, n_kv_heads, k_bytes, layer_bytes: len / n_layers })
    }

    /// Bytes for `context` tokens; `None` if they are beyond 64 bits.
    pub(crate) fn n_bytes(config: &Config, context: usize, types: CacheTypes) -> Option<u64> {
        let positions = context.checked_next_multiple_of(TILE)? as u64;
        positions.checked_mul(Self::bytes_per_token(config, types)?)
    }

    /// One token's share.
    pub(crate) fn bytes_per_token(config: &Config, types: CacheTypes) -> Option<u64> {
        let of = |ty: CacheType| ty.position_bytes(config.head_dim) as u64;
        let of_head = of(types.k).checked_add(of(types.v))?;
        of_head.checked_mul(config.n_kv_heads as u64)?.checked_mul(config.n_layers as u64)
    }

    /// Stores keys and values, `n_kv_heads * head_dim` a token, at positions from `first`.
    pub(crate) fn store(&mut self, team: &Team, layer: usize, first: usize, k: &[f32], v: &[f32]) {
        let Self { types, head_dim, n_kv_heads, k_bytes, layer_bytes, .. } = *self;
        let (k_cache, v_cache) = self.map[layer * layer_bytes..][..layer_bytes].split_at_mut(k_bytes);
        kernels::store(team, NewTokens { k, v, k_cache, v_cache, types, n_kv_heads, head_dim, first });
    }

    /// Forgets `n_forgotten` positions behind the first `n_kept`, both whole tiles, of `n_used`: what follows moves into
    /// their place, bit by bit as it is.
    pub(crate) fn forget(&mut self, n_kept: usize, n_forgotten: usize, n_used: usize) {
        let Self { types, head_dim, n_kv_heads, k_bytes, layer_bytes, .. } = *self;
        let behind = n_kept + n_forgotten..n_used.next_multiple_of(TILE);
        for layer in self.map.chunks_exact_mut(layer_bytes) {
            let (keys, values) = layer.split_at_mut(k_bytes);
            for (half, ty) in [(keys, types.k), (values, types.v)] {
                let position_bytes = ty.position_bytes(head_dim);
                let bytes = behind.start * position_bytes..behind.end * position_bytes;
                for head in half.chunks_exact_mut(half.len() / n_kv_heads) {
                    head.copy_within(bytes.clone(), n_kept * position_bytes);
                }
            }
        }
    }

    /// A layer's keys and its values: head after head.
    pub(crate) fn layer(&self, layer: usize) -> (&[u8], &[u8]) {
        self.map[layer * self.layer_bytes..][..self.layer_bytes].split_at(self.k_bytes)
    }

    /// How they are kept.
    pub(crate) fn types(&self) -> CacheTypes {
        self.types
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use kernels::Isa;

    fn config() -> Config {
        Config {
            n_layers: 3,
            dim: 32,
            n_heads: 4,
            n_kv_heads: 2,
            head_dim: 8,
            ffn_dim: 32,
            n_vocab: 10,
            context_length: 100,
            rope_dim: 8,
            rope_base: 10_000.0,
            rope_scale: 1.0,
            norm_eps: 1e-5,
        }
    }

    /// A number that tells where it belongs, exact as a half.
    fn number(layer: usize, position: usize, kv_column: usize) -> f32 {
        (layer * 512 + position * 16 + kv_column) as f32
    }

    #[test]
    fn every_layer_and_head_has_a_place_of_its_own() {
        let config = config();
        for (k, v) in [(CacheType::F16, CacheType::F16), (CacheType::F32, CacheType::F16)] {
            let mut cache = KvCache::new(&config, 65, CacheTypes { k, v }).unwrap();
            let team = Team::new(2, Isa::Scalar).unwrap();
            for layer in 0..3 {
                for (first, n) in [(0, 5), (5, 1), (6, 2)] {
                    let rows = |sign: f32| -> Vec<f32> {
                        let cell = |i: usize| sign * number(layer, first + i / 16, i % 16);
                        (0..n * 16).map(cell).collect()
                    };
                    cache.store(&team, layer, first, &rows(1.0), &rows(-1.0));
                }
            }
            for layer in 0..3 {
                let (keys, values) = cache.layer(layer);
                for (sign, ty, bytes) in [(1.0, k, keys), (-1.0, v, values)] {
                    for (head, bytes) in bytes.chunks(bytes.len() / 2).enumerate() {
                        let numbers: Vec<f32> = if ty == CacheType::F16 {
                            bytemuck::cast_slice::<u8, f16>(bytes).iter().map(|x| x.to_f32()).collect()
                        } else {
                            bytemuck::cast_slice(bytes).to_vec()
                        };
                        assert_eq!(numbers.len(), 128 * 8, "65 positions are two tiles");
                        for (i, &x) in numbers.iter().enumerate() {
                            // Keys are turned, tile by tile.
                            let (position, column) =
                                if sign > 0.0 { (i / 512 * 64 + i % 64, i / 64 % 8) } else { (i / 8, i % 8) };
                            let column = head * 8 + column;
                            let expected =
                                if position < 8 { sign * number(layer, position, column) } else { 0.0 };
                            assert_eq!(x, expected, "{ty} layer {layer} head {head} position {position}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_cache_that_cannot_be_is_refused_in_words() {
        let config = config();
        for (context, words) in
            [(usize::MAX, "--context"), (usize::MAX / 4096, "--context"), (1 << 46, "MiB")]
        {
            let types = CacheTypes::both(CacheType::F16);
            let error = KvCache::new(&config, context, types).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
