use super::*;
use crate::random::Random;
use blocks::{F16, F32};

struct Case {
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    first: usize,
    n_tokens: usize,
}

const CASES: &[(TensorType, usize, usize, usize, usize, usize)] = &[
    (TensorType::F32, 1, 1, 1, 0, 1),
    (TensorType::F32, 4, 2, 32, 0, 70),
    (TensorType::F16, 4, 2, 32, 63, 3),
    (TensorType::F16, 8, 1, 64, 130, 9),
    (TensorType::F16, 3, 3, 17, 60, 10),
    (TensorType::F32, 2, 1, 128, 200, 2),
    (TensorType::F16, 2, 2, 300, 5, 70),
    (TensorType::F32, 40, 1, 8, 64, 1),
];

fn encode(ty: TensorType, x: &[f32]) -> Vec<u8> {
    if ty == TensorType::F16 {
        x.iter().flat_map(|&x| F16::from_f32(x).0).collect()
    } else {
        x.iter().flat_map(|&x| F32::from_f32(x).0).collect()
    }
}

/// Keys as the cache has them: in each tile column after column.
fn turn(k: &[u8], head_dim: usize, size: usize) -> Vec<u8> {
    let mut turned = vec![0; k.len()];
    for (turned, tile) in turned.chunks_mut(TILE * head_dim * size).zip(k.chunks(TILE * head_dim * size)) {
        for (i, number) in tile.chunks(size).enumerate() {
            let (position, column) = (i / head_dim, i % head_dim);
            turned[(column * TILE + position) * size..][..size].copy_from_slice(number);
        }
    }
    turned
}

/// Softmax and sums in f64, for one query.
fn exact(q: &[f32], k: &[f32], v: &[f32]) -> Vec<f64> {
    let head_dim = q.len();
    let dot = |k: &[f32]| q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>();
    let p: Vec<f64> = k.chunks(head_dim).map(|k| (dot(k) / (head_dim as f64).sqrt()).exp()).collect();
    let total: f64 = p.iter().sum();
    let of = |i: usize| v.chunks(head_dim).zip(&p).map(|(v, p)| p * f64::from(v[i])).sum::<f64>() / total;
    (0..head_dim).map(of).collect()
}

#[test]
fn near_the_exact_value_and_the_same_bits_everywhere() {
    let mut random = Random(4);
    for &(cache_type, n_heads, n_kv_heads, head_dim, first, n_tokens) in CASES {
        let case = Case { n_heads, n_kv_heads, head_dim, first, n_tokens };
        let (n_positions, n_cols) = (first + n_tokens, n_heads * head_dim);
        // Whole tiles, and poison after the last position: nobody may look ahead.
        let n_reserved = (n_positions + 1).next_multiple_of(TILE);
        let mut cache = [(); 2].map(|()| random.floats(n_kv_heads * n_reserved * head_dim));
        for x in &mut cache {
            for head in x.chunks_exact_mut(n_reserved * head_dim) {
                head[n_positions * head_dim..].fill(f32::NAN);
            }
        }
        let [k, v] = cache.each_ref().map(|x| encode(cache_type, x));
        // What the cache holds, after its own rounding.
        let [k_floats, v_floats] = [&k, &v].map(|bytes| {
            let mut floats = vec![0.0; bytes.len() / cache_type.block_bytes()];
            blocks::with_block!(
                cache_type,
                B => blocks::decode(blocks::from_bytes::<B>(bytes), &mut floats),
                else unreachable!("caches of {cache_type}")
            );
            floats
        });
        let k = turn(&k, head_dim, cache_type.block_bytes());
        let q: Vec<f32> = random.floats(n_tokens * n_cols).iter().map(|x| x * 4.0).collect();
        let run = |isa, n_threads, tokens: Range<usize>| {
            let mut out = vec![f32::NAN; tokens.len() * n_cols];
            let q = &q[tokens.start * n_cols..tokens.end * n_cols];
            let stride_bytes = k.len() / n_kv_heads;
            let first = first + tokens.start;
            let (k, v, out_ref) = (&*k, &*v, &mut *out);
            let operation = Attention {
                q,
                k,
                v,
                cache_type,
                stride_bytes,
                n_heads,
                n_kv_heads,
                head_dim,
                first,
                out: out_ref,
            };
            attention(&Team::new(n_threads, isa).unwrap(), operation);
            out
        };
        let scalar = run(Isa::Scalar, 1, 0..n_tokens);
        check_exact(&case, &q, [&k_floats, &v_floats], &scalar);
        for isa in Isa::available() {
            for n_threads in [1, 2, 3] {
                assert_eq!(
                    run(isa, n_threads, 0..n_tokens),
                    scalar,
                    "{isa}, {n_threads} threads, heads of {head_dim}"
                );
            }
            let singly: Vec<f32> = (0..n_tokens).flat_map(|t| run(isa, 2, t..t + 1)).collect();
            assert_eq!(singly, scalar, "{isa}, token by token, heads of {head_dim}");
        }
    }
}

fn check_exact(case: &Case, q: &[f32], [k, v]: [&[f32]; 2], got: &[f32]) {
    let &Case { n_heads, n_kv_heads, head_dim, first, n_tokens, .. } = case;
    let stride = (first + n_tokens + 1).next_multiple_of(TILE) * head_dim;
    for (index, (q, got)) in q.chunks(head_dim).zip(got.chunks(head_dim)).enumerate() {
        let (token, head) = (index / n_heads, index % n_heads / (n_heads / n_kv_heads));
        let seen = head * stride..head * stride + (first + token + 1) * head_dim;
        for (got, exact) in got.iter().zip(exact(q, &k[seen.clone()], &v[seen])) {
            let error = (f64::from(*got) - exact).abs();
            assert!(error < 2e-5, "heads of {head_dim}, token {token}, head {head}: {got} for {exact}");
        }
    }
}
