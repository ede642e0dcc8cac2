//! Attention against softmax and sums in f64, against itself by every way there is to it, and what each type of cache
//! makes of its numbers.

use super::*;
use crate::random::Random;
use CacheType::{F16, F32, Q4_0, Q8_0};
use blocks::Block;

/// Types of keys and values, heads, kv heads, floats a head, position of the first token, tokens.
const CASES: &[(CacheType, CacheType, usize, usize, usize, usize, usize)] = &[
    (F32, F32, 1, 1, 1, 0, 1),
    (F32, F16, 4, 2, 32, 0, 70),
    (F16, F16, 4, 2, 32, 63, 3),
    (F16, F16, 8, 1, 64, 130, 9),
    (F16, F32, 3, 3, 17, 60, 10),
    (F32, F32, 2, 1, 128, 200, 2),
    (F16, F16, 2, 2, 300, 5, 70),
    (F32, F32, 40, 1, 8, 64, 1),
    (Q8_0, Q8_0, 4, 2, 32, 0, 70),
    (Q8_0, Q8_0, 2, 2, 128, 130, 9),
    (Q4_0, Q4_0, 8, 2, 64, 63, 5),
    (Q4_0, Q4_0, 1, 1, 100, 120, 33),
    (Q8_0, Q4_0, 3, 1, 80, 64, 4),
    (F16, Q8_0, 2, 1, 17, 60, 10),
    (Q4_0, F16, 5, 5, 96, 100, 3),
    (Q8_0, F32, 2, 1, 4096, 1, 3),
];

struct Case {
    types: CacheTypes,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    first: usize,
    n_tokens: usize,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        CASES.iter().map(|&(k, v, n_heads, n_kv_heads, head_dim, first, n_tokens)| Self {
            types: CacheTypes { k, v },
            n_heads,
            n_kv_heads,
            head_dim,
            first,
            n_tokens,
        })
    }

    fn n_positions(&self) -> usize {
        self.first + self.n_tokens
    }

    /// A cache with poison everywhere, then with these keys and values at its beginning, stored some tokens at a time.
    fn cache(&self, isa: Isa, types: CacheTypes, k: &[f32], v: &[f32], step: usize) -> [Vec<u8>; 2] {
        let &Self { n_kv_heads, head_dim, .. } = self;
        let n_cols = n_kv_heads * head_dim;
        // A tile more than is used: nobody may look ahead.
        let n_reserved = (self.n_positions() + 1).next_multiple_of(TILE);
        let room = |ty: CacheType| vec![0; n_kv_heads * n_reserved * ty.position_bytes(head_dim)];
        let (mut k_cache, mut v_cache) = (room(types.k), room(types.v));
        let team = Team::new(2, isa).unwrap();
        let mut put = |first: usize, k: &[f32], v: &[f32]| {
            let (k_cache, v_cache) = (&mut *k_cache, &mut *v_cache);
            let new = NewTokens { k, v, k_cache, v_cache, types, n_kv_heads, head_dim, first };
            store(&team, new);
        };
        let poison = vec![f32::NAN; n_reserved * n_cols];
        put(0, &poison, &poison);
        for (i, (k, v)) in k.chunks(step * n_cols).zip(v.chunks(step * n_cols)).enumerate() {
            put(i * step, k, v);
        }
        [k_cache, v_cache]
    }

    fn run(
        &self,
        types: CacheTypes,
        [k_cache, v_cache]: [&[u8]; 2],
        team: &Team,
        q: &[f32],
        tokens: Range<usize>,
    ) -> Vec<f32> {
        let &Self { n_heads, n_kv_heads, head_dim, .. } = self;
        let n_cols = n_heads * head_dim;
        let mut out = vec![f32::NAN; tokens.len() * n_cols];
        let q = &q[tokens.start * n_cols..tokens.end * n_cols];
        let (first, out_ref) = (self.first + tokens.start, &mut *out);
        let operation =
            Attention { q, k_cache, v_cache, types, n_heads, n_kv_heads, head_dim, first, out: out_ref };
        attention(team, operation);
        out
    }
}

/// What a type makes of a token's keys or values: as a file's blocks say it, head by head.
fn rounded(ty: CacheType, head_dim: usize, x: &[f32]) -> Vec<f32> {
    let of_head = |x: &[f32]| -> Vec<f32> {
        let mut row = vec![0; ty.position_bytes(head_dim)];
        values::store(Isa::Scalar, ty, &mut row, 0, x);
        let mut floats = vec![0.0; ty.row_len(head_dim)];
        blocks::with_block!(
            ty.tensor_type(),
            B => blocks::decode(blocks::from_bytes::<B>(&row), &mut floats),
            else unreachable!("{ty}")
        );
        floats.truncate(head_dim);
        floats
    };
    x.chunks(head_dim).flat_map(of_head).collect()
}

/// Softmax and sums in f64, for one query; keys and values of its head.
fn exact(q: &[f32], k: &[&[f32]], v: &[&[f32]]) -> Vec<f64> {
    let head_dim = q.len();
    let dot = |k: &[f32]| q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>();
    let scores: Vec<f64> = k.iter().map(|k| dot(k) / (head_dim as f64).sqrt()).collect();
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let p: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
    let total: f64 = p.iter().sum();
    let of = |i: usize| v.iter().zip(&p).map(|(v, p)| p * f64::from(v[i])).sum::<f64>() / total;
    (0..head_dim).map(of).collect()
}

#[test]
fn near_the_exact_value_and_the_same_bits_everywhere() {
    let mut random = Random(4);
    for case in Case::all() {
        let Case { types, n_heads, n_kv_heads, head_dim, first, n_tokens } = case;
        let [k, v] = [(); 2].map(|()| random.floats(case.n_positions() * n_kv_heads * head_dim));
        let q: Vec<f32> = random.floats(n_tokens * n_heads * head_dim).iter().map(|x| x * 4.0).collect();
        let cache = case.cache(Isa::Scalar, types, &k, &v, 1);
        let of_cache = cache.each_ref().map(|half| &half[..]);
        let scalar = case.run(types, of_cache, &Team::new(1, Isa::Scalar).unwrap(), &q, 0..n_tokens);

        // A cache of floats that holds what this one rounds to gives the same bits.
        let [k, v] = [rounded(types.k, head_dim, &k), rounded(types.v, head_dim, &v)];
        let floats = CacheTypes::both(F32);
        let float_cache = case.cache(Isa::Scalar, floats, &k, &v, 64);
        let of_floats = float_cache.each_ref().map(|half| &half[..]);
        let expected = case.run(floats, of_floats, &Team::new(1, Isa::Scalar).unwrap(), &q, 0..n_tokens);
        assert_eq!(scalar, expected, "{types}, heads of {head_dim}");

        for (index, (q, got)) in q.chunks(head_dim).zip(scalar.chunks(head_dim)).enumerate() {
            let (token, head) = (index / n_heads, index % n_heads / (n_heads / n_kv_heads));
            let of_head = |x: &'_ [f32]| -> Vec<Vec<f32>> {
                let rows = x.chunks(n_kv_heads * head_dim).take(first + token + 1);
                rows.map(|row| row[head * head_dim..][..head_dim].to_vec()).collect()
            };
            let (k, v) = (of_head(&k), of_head(&v));
            let [k, v] = [&k, &v].map(|rows| rows.iter().map(|row| &row[..]).collect::<Vec<_>>());
            for (got, exact) in got.iter().zip(exact(q, &k, &v)) {
                let error = (f64::from(*got) - exact).abs();
                assert!(error < 2e-5, "{types}, heads of {head_dim}, token {token}: {got} for {exact}");
            }
        }

        for isa in Isa::available() {
            for n_threads in [1, 2, 3] {
                let team = Team::new(n_threads, isa).unwrap();
                let got = case.run(types, of_cache, &team, &q, 0..n_tokens);
                assert_eq!(got, scalar, "{types}, {isa}, {n_threads} threads, heads of {head_dim}");
            }
            let team = Team::new(2, isa).unwrap();
            let singly: Vec<f32> =
                (0..n_tokens).flat_map(|t| case.run(types, of_cache, &team, &q, t..t + 1)).collect();
            assert_eq!(singly, scalar, "{types}, {isa}, token by token, heads of {head_dim}");
        }
    }
}

#[test]
fn what_is_stored_is_the_same_at_every_level_and_in_every_batch() {
    let mut random = Random(5);
    for case in Case::all() {
        let n_floats = case.n_positions() * case.n_kv_heads * case.head_dim;
        let [k, v] = [(); 2].map(|()| random.floats(n_floats));
        let expected = case.cache(Isa::Scalar, case.types, &k, &v, 1);
        for isa in Isa::available() {
            for step in [1, 3, 64, 1000] {
                let got = case.cache(isa, case.types, &k, &v, step);
                assert!(got == expected, "{}, {isa}, {step} tokens at a time", case.types);
            }
        }
    }
}

#[test]
fn blocks_are_as_near_as_their_scale_allows() {
    let mut random = Random(6);
    for _ in 0..1000 {
        let size = 2f32.powi((random.next() % 16) as i32 - 8);
        let x: Vec<f32> = random.floats(32).iter().map(|x| x * size).collect();
        let largest = x.iter().fold(0f32, |max, x| max.max(x.abs()));
        // Half of a step; of Q4_0, whose levels are −8 … 7, a whole step at the end that has one less. A scale is
        // rounded to eleven bits.
        for (ty, step, share) in [(Q8_0, largest / 127.0, 0.5), (Q4_0, largest / 8.0, 1.0)] {
            let bound = step * share * (1.0 + 1.0 / 1024.0) + largest / 2048.0;
            for (got, x) in rounded(ty, 32, &x).iter().zip(&x) {
                assert!((got - x).abs() <= bound, "{ty}: {got} for {x} beside {largest}");
            }
        }
    }
    let at = |ty, x: f32| rounded(ty, 32, &[&[x][..], &[0.0; 31]].concat());
    for ty in [Q8_0, Q4_0] {
        assert_eq!(at(ty, 0.0), [0.0; 32], "{ty}");
        assert_eq!(at(ty, 1e-30), [0.0; 32], "{ty}: too small for a scale");
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
            assert!(!at(ty, x)[0].is_finite(), "{ty}: {x} must not pass for a number");
        }
    }
}

#[test]
fn quantized_caches_are_as_near_as_their_blocks() {
    let mut random = Random(7);
    let (head_dim, n_positions) = (64, 100);
    for (ty, step) in [(Q8_0, 0.5 / 127.0), (Q4_0, 1.0 / 8.0)] {
        let case = Case {
            types: CacheTypes::both(ty),
            n_heads: 1,
            n_kv_heads: 1,
            head_dim,
            first: n_positions - 1,
            n_tokens: 1,
        };
        let [k, v] = [(); 2].map(|()| random.floats(n_positions * head_dim));
        let q = random.floats(head_dim);
        let cache = case.cache(Isa::Scalar, case.types, &k, &v, 1);
        let team = Team::new(1, Isa::detect()).unwrap();
        let got = case.run(case.types, cache.each_ref().map(|half| &half[..]), &team, &q, 0..1);
        let [k, v] = [&k, &v].map(|x| x.chunks(head_dim).collect::<Vec<_>>());
        // Numbers are below 1, so one is off by `step` at most; a score by their sum; a weight, which is an exponential
        // over a sum of exponentials, by twice that in its logarithm.
        let step = step * 1.01;
        let score = q.iter().map(|q| f64::from(q.abs())).sum::<f64>() * step / (head_dim as f64).sqrt();
        let bound = ((2.0 * score).exp() - 1.0) + step;
        for (got, exact) in got.iter().zip(exact(&q, &k, &v)) {
            assert!((f64::from(*got) - exact).abs() < bound, "{ty}: {got} for {exact}, bound {bound}");
        }
    }
}

#[test]
fn names_lead_to_types_and_back() {
    for ty in CacheType::ALL {
        assert_eq!(ty.name().parse(), Ok(ty));
        let block_bytes = blocks::with_block!(ty.tensor_type(), B => size_of::<B>() * 32 / B::LEN, else 0);
        assert_eq!((ty.position_bytes(32), ty.position_bytes(64)), (block_bytes, 2 * block_bytes), "{ty}");
    }
    let error = "q5_1".parse::<CacheType>().unwrap_err().to_string();
    assert!(error.contains("f32, f16, q8_0, q4_0"), "{error}");
}
