//! Logits of tiny models: against a plain forward pass in f64, and against themselves by every way there is to them.

use super::*;
use crate::tiny::{Random, Tiny};
use crate::{Config, Norm};
use blocks::TensorType;
use kernels::CacheType;

/// Longer than a tile of attention, no multiple of the batches below.
const N_TOKENS: usize = 70;

fn prompt(n_vocab: usize) -> Vec<u32> {
    let mut random = Random(3);
    (0..N_TOKENS).map(|_| (random.next() % n_vocab as u64) as u32).collect()
}

fn options() -> SessionOptions {
    SessionOptions { threads: 1, cache: Some(CacheTypes::both(CacheType::F32)), ..Default::default() }
}

/// Logits after every token, fed in runs of `step` tokens.
fn logits(session: &mut Session<'_>, tokens: &[u32], step: usize) -> Vec<Vec<f32>> {
    let mut all = Vec::new();
    for tokens in tokens.chunks(step) {
        session.feed_each(tokens, |_| true, |_, logits| all.push(logits.to_vec())).unwrap();
    }
    all
}

fn bits(logits: &[Vec<f32>]) -> Vec<Vec<u32>> {
    logits.iter().map(|row| row.iter().map(|x| x.to_bits()).collect()).collect()
}

/// The model as a formula: f64, no batch, no cache but plain vectors.
struct Reference<'m> {
    model: &'m Model,
    /// Per layer and position.
    keys: Vec<Vec<Vec<f64>>>,
    values: Vec<Vec<Vec<f64>>>,
}

impl<'m> Reference<'m> {
    fn new(model: &'m Model) -> Self {
        let layers = vec![Vec::new(); model.config().n_layers];
        Self { model, keys: layers.clone(), values: layers }
    }

    fn product(&self, matrix: &crate::Matrix, x: &[f64]) -> Vec<f64> {
        let mut row = vec![0.0; matrix.n_cols];
        let rows = self.model.rows(matrix, 0..matrix.n_rows);
        let dot = |r: usize| {
            rows.decode(r, &mut row);
            row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum()
        };
        (0..matrix.n_rows).map(dot).collect()
    }

    fn norm(&self, norm: Norm, x: &[f64]) -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + f64::from(self.model.config().norm_eps)).sqrt();
        x.iter().zip(self.model.norm(norm)).map(|(x, &w)| x * scale * f64::from(w)).collect()
    }

    fn rope(&self, x: &mut [f64], position: usize) {
        let factors = self.model.weights().rope_factors.map(|factors| self.model.norm(factors));
        let Config { head_dim, rope_dim, rope_base, rope_scale, .. } = *self.model.config();
        for head in x.chunks_mut(head_dim) {
            for i in 0..rope_dim / 2 {
                let frequency = f64::from(rope_base).powf(-2.0 * i as f64 / rope_dim as f64);
                let frequency = frequency / factors.map_or(1.0, |factors| f64::from(factors[i]));
                let (sin, cos) = (position as f64 * f64::from(rope_scale) * frequency).sin_cos();
                let (a, b) = (head[2 * i], head[2 * i + 1]);
                (head[2 * i], head[2 * i + 1]) = (a * cos - b * sin, a * sin + b * cos);
            }
        }
    }

    fn attend(&self, layer: usize, q: &[f64]) -> Vec<f64> {
        let Config { head_dim, n_heads, n_kv_heads, .. } = *self.model.config();
        let mut out = Vec::new();
        for (h, q) in q.chunks(head_dim).enumerate() {
            let of_head = h / (n_heads / n_kv_heads) * head_dim..(h / (n_heads / n_kv_heads) + 1) * head_dim;
            let dot = |k: &Vec<f64>| q.iter().zip(&k[of_head.clone()]).map(|(q, k)| q * k).sum::<f64>();
            let weights: Vec<f64> =
                self.keys[layer].iter().map(|k| (dot(k) / (head_dim as f64).sqrt()).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let values = |i: usize| -> f64 {
                weights.iter().zip(&self.values[layer]).map(|(w, v)| w * v[of_head.start + i]).sum()
            };
            out.extend((0..head_dim).map(|i| values(i) / sum));
        }
        out
    }

    fn feed(&mut self, token: u32) -> Vec<f64> {
        let weights = self.model.weights();
        let position = self.keys[0].len();
        let mut row = vec![0.0; self.model.config().dim];
        self.model.rows(&weights.token_embd, 0..self.model.config().n_vocab).decode(token as usize, &mut row);
        let mut x: Vec<f64> = row.into_iter().map(f64::from).collect();
        for (l, layer) in weights.layers.iter().enumerate() {
            let y = self.norm(layer.attn_norm, &x);
            let (mut q, mut k) = (self.product(&layer.attn_q, &y), self.product(&layer.attn_k, &y));
            self.rope(&mut q, position);
            self.rope(&mut k, position);
            self.keys[l].push(k);
            let v = self.product(&layer.attn_v, &y);
            self.values[l].push(v);
            let y = self.product(&layer.attn_output, &self.attend(l, &q));
            x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
            let y = self.norm(layer.ffn_norm, &x);
            let (gate, up) = (self.product(&layer.ffn_gate, &y), self.product(&layer.ffn_up, &y));
            let y: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
            let y = self.product(&layer.ffn_down, &y);
            x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
        }
        self.product(&weights.output, &self.norm(weights.output_norm, &x))
    }
}

/// The shapes that `llama` models come in.
fn shapes() -> Vec<(&'static str, Tiny)> {
    let tiny = |change: fn(&mut Tiny)| {
        let mut tiny = Tiny::new();
        change(&mut tiny);
        tiny
    };
    vec![
        ("grouped queries", tiny(|_| ())),
        ("one kv head", tiny(|tiny| tiny.config.n_kv_heads = 1)),
        ("a kv head for each query head", tiny(|tiny| tiny.config.n_kv_heads = 4)),
        ("tied embeddings", tiny(|tiny| tiny.tied = true)),
        (
            "heads narrower than dim / n_heads",
            tiny(|tiny| (tiny.config.head_dim, tiny.config.rope_dim) = (8, 8)),
        ),
        (
            "heads wider than dim / n_heads",
            tiny(|tiny| (tiny.config.head_dim, tiny.config.rope_dim) = (32, 32)),
        ),
        ("a part of each head rotated", tiny(|tiny| tiny.config.rope_dim = 10)),
        ("linear rope scaling", tiny(|tiny| tiny.config.rope_scale = 0.25)),
        ("rope factors", tiny(|tiny| tiny.rope_factors = true)),
        ("another rope base", tiny(|tiny| tiny.config.rope_base = 500_000.0)),
    ]
}

#[test]
fn logits_are_those_of_the_formula() {
    for (name, tiny) in shapes() {
        let model = tiny.model();
        assert_eq!(model.config(), &tiny.config, "{name}");
        let mut reference = Reference::new(&model);
        let tokens = prompt(tiny.config.n_vocab);
        let expected: Vec<Vec<f64>> = tokens.iter().map(|&token| reference.feed(token)).collect();
        let range = expected.iter().flatten().fold(0.0f64, |max, x| max.max(x.abs()));
        for (ty, bound) in [(CacheType::F32, 1e-5), (CacheType::F16, 1e-2)] {
            let cache = Some(CacheTypes::both(ty));
            let mut session = Session::new(&model, &SessionOptions { cache, ..options() }).unwrap();
            let found = logits(&mut session, &tokens, N_TOKENS);
            let differences = expected.iter().flatten().zip(found.iter().flatten());
            let worst = differences.map(|(e, &f)| (e - f64::from(f)).abs()).fold(0.0, f64::max) / range;
            assert!(worst < bound, "{name}, {ty}: {worst:e} of the range {range}");
        }
    }
}

#[test]
fn keys_are_rotated_where_they_are_quantized() {
    use CacheType::{F16, Q4_0, Q8_0};
    let tiny = Tiny::new();
    let model = tiny.model();
    let tokens = prompt(tiny.config.n_vocab);
    for (k, v, rotated) in [(F16, Q4_0, false), (Q8_0, F16, true), (Q4_0, Q4_0, true)] {
        let [with, without] = [true, false].map(|rotate_keys| {
            let cache = Some(CacheTypes { k, v });
            let mut session =
                Session::new(&model, &SessionOptions { cache, rotate_keys, ..options() }).unwrap();
            bits(&logits(&mut session, &tokens, N_TOKENS))
        });
        assert_eq!(with != without, rotated, "keys {k}, values {v}");
    }
}

#[test]
fn every_way_to_the_logits_gives_the_same_bits() {
    use CacheType::{F16, F32, Q4_0, Q8_0};
    let mut models = shapes();
    for ty in [TensorType::F16, TensorType::Q4_0, TensorType::Q5_1, TensorType::Q8_0, TensorType::Q6K] {
        let mut tiny = Tiny { ty, ..Tiny::new() };
        if ty == TensorType::Q6K {
            (tiny.config.dim, tiny.config.ffn_dim, tiny.config.head_dim) = (256, 256, 64);
        }
        models.push((ty.name(), tiny));
    }
    for (name, tiny) in models {
        let model = tiny.model();
        let tokens = prompt(tiny.config.n_vocab);
        for (k, v) in [(F32, F32), (F16, F16), (Q8_0, Q8_0), (Q4_0, Q8_0), (F16, Q4_0)] {
            let cache = CacheTypes { k, v };
            let mut first = None;
            for (batch, step, threads) in [
                (512, N_TOKENS, 1),
                (512, 1, 1),
                (7, N_TOKENS, 1),
                (512, 40, 2),
                (64, N_TOKENS, 3),
                (1, 2, 2),
            ] {
                let options = SessionOptions { batch, threads, cache: Some(cache), ..options() };
                let mut session = Session::new(&model, &options).unwrap();
                assert_eq!((session.n_threads(), session.batch()), (threads, batch.min(128)));
                let found = bits(&logits(&mut session, &tokens, step));
                assert_eq!(found.len(), N_TOKENS);
                let first = first.get_or_insert_with(|| found.clone());
                assert!(
                    *first == found,
                    "{name}, cache of {cache}: batch {batch}, step {step}, {threads} threads"
                );
            }
        }
    }
}

#[test]
fn each_level_of_this_processor_gives_the_same_bits() {
    for ty in [TensorType::F32, TensorType::Q4_0] {
        let model = Tiny { ty, ..Tiny::new() }.model();
        let tokens = prompt(300);
        let at = |isa| {
            let mut session = Session::new(&model, &SessionOptions { isa, ..options() }).unwrap();
            assert_eq!(session.isa(), isa);
            bits(&logits(&mut session, &tokens, 33))
        };
        let scalar = at(Isa::available()[0]);
        for isa in Isa::available() {
            assert!(at(isa) == scalar, "{ty} at {}", isa.name());
        }
    }
}

#[test]
fn a_truncated_session_goes_on_as_if_it_had_never_known() {
    let model = Tiny::new().model();
    let tokens = prompt(300);
    let mut session = Session::new(&model, &options()).unwrap();
    let straight = bits(&logits(&mut session, &tokens, N_TOKENS));
    session.truncate(1000);
    assert_eq!(session.position(), N_TOKENS);
    for keep in [65, 64, 13, 0] {
        session.truncate(keep);
        assert_eq!(session.position(), keep);
        logits(&mut session, &[9, 8, 7], 3);
        session.truncate(keep);
        assert!(bits(&logits(&mut session, &tokens[keep..], 20)) == straight[keep..], "{keep} kept");
    }
}

#[test]
fn what_is_forgotten_leaves_no_gap() {
    // In a single layer keys and values depend on their own token alone: a session that never knew what was forgotten
    // holds the same, but for the angle that all of them are turned by.
    for rope_factors in [false, true] {
        let mut tiny = Tiny { rope_factors, ..Tiny::new() };
        tiny.config.n_layers = 1;
        let model = tiny.model();
        let mut random = Random(3);
        let tokens: Vec<u32> = (0..400).map(|_| (random.next() % 300) as u32).collect();
        // Where to forget, what to keep, and what of `tokens` is left then.
        for (n_fed, n_keep, n_kept, left) in [
            (200, 1, 64, 192..200),
            (200, 100, 128, 192..200),
            (200, 1000, 192, 0..0),
            (330, 64, 64, 256..330),
        ] {
            let options = SessionOptions { context: n_fed, ..options() };
            let mut session = Session::new(&model, &options).unwrap();
            session.feed(&tokens[..n_fed]).unwrap();
            if left.is_empty() {
                assert!(session.forget(n_keep).is_err(), "there is nothing behind what stays");
                continue;
            }
            assert_eq!(session.forget(n_keep).unwrap(), left.start - n_kept);
            assert_eq!((session.position(), session.n_unbroken()), (n_kept + left.len(), n_kept));
            let found = session.feed(&tokens[n_fed..n_fed + 5]).unwrap().to_vec();
            let mut other = Session::new(&model, &options).unwrap();
            other.feed(&[&tokens[..n_kept], &tokens[left.clone()]].concat()).unwrap();
            let expected = other.feed(&tokens[n_fed..n_fed + 5]).unwrap();
            let range = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5 * range, "{found} for {expected} of {range}");
            }
            // What is unbroken can be gone on from, and an empty session is a new one.
            session.truncate(n_kept);
            assert_eq!(session.n_unbroken(), n_kept);
            session.truncate(0);
            let anew = session.feed(&tokens[..5]).unwrap().to_vec();
            other.truncate(0);
            assert_eq!(anew, other.feed(&tokens[..5]).unwrap());
        }
    }
}

#[test]
fn however_often_something_is_forgotten_keys_are_rounded_once() {
    // The same 64 tokens again and again: whatever tiles are forgotten, the context ends up as it was the first time, and
    // keys of any type are as far from exact ones the fiftieth time as the first.
    let mut tiny = Tiny::new();
    tiny.config.n_layers = 1;
    let model = tiny.model();
    let tile: Vec<u32> = prompt(300)[..64].to_vec();
    let session = |ty| {
        let options = SessionOptions { context: 192, cache: Some(CacheTypes::both(ty)), ..options() };
        Session::new(&model, &options).unwrap()
    };
    let exact = session(CacheType::F32).feed(&tile.repeat(3)).unwrap().to_vec();
    for ty in [CacheType::F16, CacheType::Q8_0, CacheType::Q4_0] {
        let mut session = session(ty);
        session.feed(&tile.repeat(3)).unwrap();
        let mut forget = |_| {
            assert_eq!(session.forget(1).unwrap(), 64);
            let found = session.feed(&tile).unwrap();
            found.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max)
        };
        let errors: Vec<f32> = (0..50).map(&mut forget).collect();
        let worst = |errors: &[f32]| errors.iter().copied().fold(0f32, f32::max);
        assert!(worst(&errors[40..]) < 2.0 * worst(&errors[..10]), "{ty}: {errors:?}");
    }
}

#[test]
fn only_wanted_logits_are_handed_out_in_order() {
    let model = Tiny::new().model();
    let tokens = prompt(300);
    let mut session = Session::new(&model, &options()).unwrap();
    let all = logits(&mut session, &tokens, N_TOKENS);
    for batch in [1, 9, 512] {
        // More than are computed at once, in one pass and over several.
        let mut session = Session::new(&model, &SessionOptions { batch, ..options() }).unwrap();
        let mut found = Vec::new();
        let wanted = |index: usize| index >= 20 && index % 7 != 3;
        session.feed_each(&tokens, wanted, |index, logits| found.push((index, logits.to_vec()))).unwrap();
        let expected: Vec<_> = (0..N_TOKENS).filter(|&i| wanted(i)).map(|i| (i, all[i].clone())).collect();
        assert!(found == expected, "batch {batch}");
        session.truncate(0);
        assert_eq!(session.feed(&tokens).unwrap(), &all[N_TOKENS - 1][..], "batch {batch}");
    }
}

#[test]
fn a_request_that_cannot_be_met_changes_nothing() {
    let model = Tiny::new().model();
    let tokens = prompt(300);
    let mut session = Session::new(&model, &SessionOptions { context: 40, ..options() }).unwrap();
    assert_eq!((session.context(), session.position()), (40, 0));
    let straight = session.feed(&tokens[..40]).unwrap().to_vec();
    session.truncate(38);
    for (tokens, words) in [
        (&tokens[38..41], "--context"),
        (&[5, 300][..], "token 300 is not in the vocabulary"),
        (&[u32::MAX][..], "not in the vocabulary"),
        (&[][..], "empty"),
    ] {
        let error = session.feed(tokens).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(session.position(), 38);
    }
    assert_eq!(session.feed(&tokens[38..40]).unwrap(), &straight[..]);
    for (options, words) in [
        (SessionOptions { threads: 100_000, ..options() }, "--threads"),
        (SessionOptions { context: usize::MAX, ..options() }, "--context"),
    ] {
        let error = Session::new(&model, &options).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_session_without_wishes_takes_the_models_context() {
    let model = Tiny::new().model();
    let session = Session::new(&model, &SessionOptions::default()).unwrap();
    assert_eq!(session.context(), 128);
    assert!(session.n_threads() >= 1);
}

#[test]
fn a_profile_is_the_time_of_the_pass() {
    let model = Tiny::new().model();
    let mut session = Session::new(&model, &options()).unwrap();
    let start = std::time::Instant::now();
    session.feed(&prompt(model.config().n_vocab)).unwrap();
    let elapsed = start.elapsed();
    let profile = session.take_profile();
    for operation in crate::Operation::ALL {
        assert!(!profile.time(operation).is_zero(), "{operation:?}");
    }
    assert!(profile.total() <= elapsed, "{profile:?} in {elapsed:?}");
    assert!(session.take_profile().total().is_zero(), "taken is taken");
}
