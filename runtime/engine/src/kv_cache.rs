//! Keys and values of the tokens so far.
//!
//! One anonymous map for the whole context: `[layer][k, v][kv head]`, then values `[position][head_dim]`, but keys in
//! tiles of 64 positions, `[tile][head_dim][64]`. Either way attention reads a straight stream. The map is address space only; the system gives a page when
//! a token is first stored in it. A long context therefore costs what was said in it, and growth calls no allocator.

use crate::{Config, Error};
use blocks::TensorType;
use half::f16;
use kernels::Team;
use memmap2::{MmapMut, MmapOptions};

/// Positions of a tile: a head's room is whole tiles.
const TILE: usize = kernels::ATTENTION_TILE;

/// The cache of one session.
#[derive(Debug)]
pub(crate) struct KvCache {
    map: MmapMut,
    ty: TensorType,
    head_dim: usize,
    n_kv_heads: usize,
    /// From one head to the next.
    stride_bytes: usize,
}

impl KvCache {
    /// Reserves the address space for `context` tokens.
    ///
    /// # Errors
    /// If the type is none that a cache can have, or the system refuses the space.
    pub(crate) fn new(config: &Config, context: usize, ty: TensorType) -> Result<Self, Error> {
        if !matches!(ty, TensorType::F16 | TensorType::F32) {
            return Err(Error::Request(format!(
                "a KV cache of the type {ty} is not supported: choose F16 or F32"
            )));
        }
        let refused = |size: &str, why: &str| {
            Error::Request(format!(
                "cannot reserve {size} of address space for the KV cache of {context} tokens: {why}. \
                 A smaller context (--context) needs less"
            ))
        };
        let n_bytes = Self::n_bytes(config, context, ty);
        let len = n_bytes.and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= isize::MAX as usize);
        let len = len.ok_or_else(|| refused("so much", "it is more than this machine can address"))?;
        let map = MmapOptions::new().len(len).no_reserve_swap().map_anon();
        let map = map.map_err(|why| refused(&format!("{} MiB", len.div_ceil(1 << 20)), &why.to_string()))?;
        // A huge page would take 2 MiB for the first token of every head. A kernel without them refuses the advice,
        // and then there is nothing to prevent.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::NoHugePage);
        let stride_bytes = len / (2 * config.n_layers * config.n_kv_heads);
        Ok(Self { map, ty, head_dim: config.head_dim, n_kv_heads: config.n_kv_heads, stride_bytes })
    }

    /// Bytes for `context` tokens; `None` if they are beyond 64 bits.
    pub(crate) fn n_bytes(config: &Config, context: usize, ty: TensorType) -> Option<u64> {
        let positions = context.checked_next_multiple_of(TILE)? as u64;
        positions.checked_mul(Self::bytes_per_token(config, ty)?)
    }

    /// One token's share.
    pub(crate) fn bytes_per_token(config: &Config, ty: TensorType) -> Option<u64> {
        let of_layer = ty.row_bytes(2 * config.kv_dim() as u64)?;
        of_layer.checked_mul(config.n_layers as u64)
    }

    /// Stores keys and values, `n_kv_heads * head_dim` a token, at positions from `first`.
    pub(crate) fn store(&mut self, team: &Team, layer: usize, first: usize, k: &[f32], v: &[f32]) {
        let Self { ty, head_dim, n_kv_heads, stride_bytes, .. } = *self;
        let start = self.start(layer, 0);
        let heads = &mut self.map[start..start + 2 * n_kv_heads * stride_bytes];
        team.for_each_piece(heads, stride_bytes, |piece, bytes| {
            let is_key = piece < n_kv_heads;
            let (source, head) = if is_key { (k, piece) } else { (v, piece - n_kv_heads) };
            let tokens =
                source.chunks_exact(n_kv_heads * head_dim).map(|x| &x[head * head_dim..][..head_dim]);
            for (position, x) in (first..).zip(tokens) {
                let (at, step) = if is_key {
                    (position / TILE * TILE * head_dim + position % TILE, TILE)
                } else {
                    (position * head_dim, 1)
                };
                if ty == TensorType::F16 {
                    let to = bytemuck::cast_slice_mut::<u8, f16>(bytes)[at..].iter_mut().step_by(step);
                    to.zip(x).for_each(|(to, &x)| *to = f16::from_f32(x));
                } else {
                    let to = bytemuck::cast_slice_mut::<u8, f32>(bytes)[at..].iter_mut().step_by(step);
                    to.zip(x).for_each(|(to, &x)| *to = x);
                }
            }
        });
    }

    /// A layer's keys: head after head, [`stride_bytes`](Self::stride_bytes) each.
    pub(crate) fn keys(&self, layer: usize) -> &[u8] {
        &self.map[self.start(layer, 0)..self.start(layer, 1)]
    }

    /// A layer's values, likewise.
    pub(crate) fn values(&self, layer: usize) -> &[u8] {
        &self.map[self.start(layer, 1)..self.start(layer + 1, 0)]
    }

    /// F16 or F32.
    pub(crate) fn ty(&self) -> TensorType {
        self.ty
    }

    /// Bytes from one kv head to the next.
    pub(crate) fn stride_bytes(&self) -> usize {
        self.stride_bytes
    }

    fn start(&self, layer: usize, k_or_v: usize) -> usize {
        (2 * layer + k_or_v) * self.n_kv_heads * self.stride_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_head_finds_its_positions_side_by_side() {
        let config = config();
        for ty in [TensorType::F16, TensorType::F32] {
            let mut cache = KvCache::new(&config, 65, ty).unwrap();
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
                for (sign, bytes) in [(1.0, cache.keys(layer)), (-1.0, cache.values(layer))] {
                    assert_eq!(bytes.len(), 2 * cache.stride_bytes());
                    for (head, bytes) in bytes.chunks(cache.stride_bytes()).enumerate() {
                        let numbers: Vec<f32> = if ty == TensorType::F16 {
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
    fn halves_are_the_nearest_with_ties_to_even() {
        let config = Config { n_layers: 1, n_kv_heads: 1, ..config() };
        let mut cache = KvCache::new(&config, 1, TensorType::F16).unwrap();
        let team = Team::new(1, Isa::Scalar).unwrap();
        // 2049 and 2051 lie between the halves 2048, 2050 and 2052; 65520 rounds to infinity; 2^-25 is half of the least.
        let k = [2049.0, 2051.0, 65504.0, 65520.0, 2f32.powi(-25), -0.0, 1.0, -3.5];
        cache.store(&team, 0, 0, &k, &[0.0; 8]);
        let stored: Vec<f16> =
            bytemuck::cast_slice::<u8, f16>(cache.keys(0)).iter().copied().step_by(TILE).take(8).collect();
        let expected =
            [2048.0, 2052.0, 65504.0, f32::INFINITY, 0.0, -0.0, 1.0, -3.5].map(|x: f32| x.to_bits());
        assert_eq!(stored.iter().map(|x| x.to_f32().to_bits()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_cache_that_cannot_be_is_refused_in_words() {
        let config = config();
        for (context, ty, words) in [
            (10, TensorType::Q8_0, "F16 or F32"),
            (usize::MAX, TensorType::F16, "--context"),
            (usize::MAX / 4096, TensorType::F16, "--context"),
            (1 << 46, TensorType::F16, "MiB"),
        ] {
            let error = KvCache::new(&config, context, ty).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
