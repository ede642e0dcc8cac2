//! The steps one by one on small vocabularies, then what must hold for all of them.

use super::*;

/// Everything off but a temperature of 1.
fn plain() -> SamplerOptions {
    SamplerOptions { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..SamplerOptions::default() }
}

/// How often each token is drawn.
fn draws(options: SamplerOptions, logits: &[f32], n: usize) -> Vec<usize> {
    let mut sampler = Sampler::new(options, logits.len());
    let mut counts = vec![0; logits.len()];
    for _ in 0..n {
        counts[sampler.sample(logits) as usize] += 1;
    }
    counts
}

/// The tokens that are drawn at all.
fn drawn(options: SamplerOptions, logits: &[f32]) -> Vec<usize> {
    let counts = draws(options, logits, 3000);
    (0..logits.len()).filter(|&id| counts[id] > 0).collect()
}

/// Logits of these probabilities.
fn logits(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln()).collect()
}

#[test]
fn greedy_takes_the_greatest_and_the_lowest_id_of_equals() {
    for (logits, expected) in [
        (&[1.0, 3.0, 2.0][..], 1),
        (&[1.0, 3.0, 3.0], 1),
        (&[0.0, -0.0, 0.0], 0),
        (&[-0.0, 0.0], 0),
        (&[f32::NAN, 1.0, f32::NAN], 1),
        (&[f32::NAN, f32::NAN], 0),
        (&[f32::NEG_INFINITY, -5.0], 1),
        (&[5.0, f32::INFINITY, f32::INFINITY], 1),
        (&[], 0),
    ] {
        for temperature in [0.0, -1.0, f32::NAN] {
            let options = SamplerOptions { temperature, ..plain() };
            assert_eq!(Sampler::new(options, logits.len()).sample(logits), expected, "{logits:?}");
        }
    }
}

#[test]
fn each_step_leaves_what_it_says() {
    let five = [0.4, 0.3, 0.15, 0.1, 0.05];
    let mixed = [0.05, 0.3, 0.1, 0.4, 0.15];
    for (what, probabilities, options, expected) in [
        ("nothing is on", five, plain(), vec![0, 1, 2, 3, 4]),
        ("top-k", mixed, SamplerOptions { top_k: 2, ..plain() }, vec![1, 3]),
        ("top-k of more than there are", five, SamplerOptions { top_k: 9, ..plain() }, vec![0, 1, 2, 3, 4]),
        ("top-p reaches 0.69 with two", mixed, SamplerOptions { top_p: 0.69, ..plain() }, vec![1, 3]),
        ("top-p reaches 0.71 with three", mixed, SamplerOptions { top_p: 0.71, ..plain() }, vec![1, 3, 4]),
        ("top-p leaves one", mixed, SamplerOptions { top_p: 0.0, ..plain() }, vec![3]),
        ("min-p of half the best", mixed, SamplerOptions { min_p: 0.5, ..plain() }, vec![1, 3]),
        ("min-p leaves the best", mixed, SamplerOptions { min_p: 7.0, ..plain() }, vec![3]),
        // Entropy 1.39: the surprises are 0.92, 1.20, 1.90, 2.30, 3.00; the nearest 0.3 (0.19 off), then 0.4 (0.48),
        // then 0.15 (0.51).
        ("typical begins at the entropy", five, SamplerOptions { typical_p: 0.2, ..plain() }, vec![1]),
        ("typical goes on", five, SamplerOptions { typical_p: 0.65, ..plain() }, vec![0, 1]),
        ("typical and on", five, SamplerOptions { typical_p: 0.8, ..plain() }, vec![0, 1, 2]),
        // Of the two that top-k leaves, 0.4/0.7 is 0.57: top-p stops there. Of all five it would not.
        ("top-k before top-p", five, SamplerOptions { top_k: 2, top_p: 0.55, ..plain() }, vec![0]),
        // Temperature is last: hot, yet the cuts are those of temperature 1.
        ("cuts are cold", five, SamplerOptions { temperature: 50.0, top_p: 0.69, ..plain() }, vec![0, 1]),
        ("a hair above greedy", mixed, SamplerOptions { temperature: 1e-30, ..plain() }, vec![3]),
    ] {
        assert_eq!(drawn(options, &logits(&probabilities)), expected, "{what}");
    }
}

#[test]
fn draws_follow_the_probabilities() {
    let n = 20_000;
    for (temperature, probabilities) in [
        (1.0, [0.5, 0.25, 0.125, 0.1, 0.025]),
        (1.0, [0.01, 0.01, 0.01, 0.01, 0.96]),
        (2.0, [0.5, 0.25, 0.125, 0.1, 0.025]),
        (0.5, [0.5, 0.25, 0.125, 0.1, 0.025]),
    ] {
        let heated = probabilities.map(|p: f32| p.powf(1.0 / temperature));
        let total: f32 = heated.iter().sum();
        let options = SamplerOptions { temperature, seed: 42, ..plain() };
        let counts = draws(options, &logits(&probabilities), n);
        let chi_square: f32 = counts
            .iter()
            .zip(heated)
            .map(|(&count, p)| {
                let expected = p / total * n as f32;
                (count as f32 - expected).powi(2) / expected
            })
            .sum();
        // Four degrees of freedom: one seed in ten thousand is above 23.5.
        assert!(chi_square < 23.5, "temperature {temperature}: {counts:?}, {chi_square}");
    }
}

#[test]
fn penalties_follow_their_formula() {
    let greedy = |repeat_penalty, presence_penalty, frequency_penalty| SamplerOptions {
        temperature: 0.0,
        repeat_penalty,
        presence_penalty,
        frequency_penalty,
        penalty_window: 4,
        ..plain()
    };
    for (what, options, accepted, logits, expected) in [
        ("repeat divides", greedy(2.0, 0.0, 0.0), &[0][..], [3.0, 1.6, -9.0], 1),
        ("repeat divides once", greedy(2.0, 0.0, 0.0), &[0, 0, 0], [3.0, 1.4, -9.0], 0),
        ("repeat multiplies what is negative", greedy(2.0, 0.0, 0.0), &[0], [-1.0, -1.9, -9.0], 1),
        ("presence is subtracted", greedy(1.0, 1.0, 0.0), &[0], [3.0, 2.1, 0.0], 1),
        ("presence once", greedy(1.0, 1.0, 0.0), &[0, 0, 0], [3.0, 1.9, 0.0], 0),
        ("frequency each time", greedy(1.0, 0.0, 0.5), &[0, 0, 0], [3.0, 1.6, 0.0], 1),
        ("no more than that", greedy(1.0, 0.0, 0.5), &[0, 0, 0], [3.0, 1.4, 0.0], 0),
        ("all: 3 / 2 - 2 · 0.25 - 0.5", greedy(2.0, 0.5, 0.25), &[0, 0], [3.0, 0.6, 0.0], 1),
        ("all, just above", greedy(2.0, 0.5, 0.25), &[0, 0], [3.0, 0.4, 0.0], 0),
        ("the window forgets", greedy(1.0, 9.0, 0.0), &[0, 2, 2, 2, 2], [3.0, 2.9, 0.0], 0),
        ("the window remembers", greedy(1.0, 9.0, 0.0), &[0, 2, 2, 2], [3.0, 2.9, 0.0], 1),
        ("no such token", greedy(1.0, 9.0, 0.0), &[3, u32::MAX], [3.0, 2.9, 0.0], 0),
        ("a division by zero", greedy(0.0, 0.0, 0.0), &[0], [0.0, 1.0, -1.0], 1),
    ] {
        let mut sampler = Sampler::new(options, 3);
        for &token in accepted {
            sampler.accept(token);
        }
        assert_eq!(sampler.sample(&logits), expected, "{what}");
        // Another text, and back: nothing of it is left.
        sampler.restart(&[0, 1, 1, 2]);
        sampler.restart(accepted);
        assert_eq!(sampler.sample(&logits), expected, "{what}, begun anew");
    }
}

#[test]
fn no_logits_make_it_panic_or_choose_what_is_excluded() {
    let strange =
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0, -0.0, 1.0, f32::MIN_POSITIVE];
    let mut random = SplitMix64::new(3);
    let mut pick = |n: usize| (random.unit() * n as f64) as usize;
    for round in 0..3000 {
        let logits: Vec<f32> = (0..1 + pick(200)).map(|_| strange[pick(strange.len())]).collect();
        let options = SamplerOptions {
            temperature: [0.0, 1e-40, 1.0, 1e30, f32::INFINITY, f32::NAN][pick(6)],
            top_k: [0, 1, 3, 1000, usize::MAX][pick(5)],
            top_p: [-1.0, 0.0, 0.5, 1.0, f32::NAN][pick(5)],
            min_p: [-1.0, 0.0, 0.5, 2.0, f32::NAN][pick(5)],
            typical_p: [-1.0, 0.0, 0.5, 1.0, f32::NAN][pick(5)],
            repeat_penalty: [0.0, 1.0, -1.0, f32::NAN, f32::INFINITY][pick(5)],
            presence_penalty: [0.0, f32::INFINITY, f32::NEG_INFINITY][pick(3)],
            frequency_penalty: [0.0, f32::MAX, f32::NAN][pick(3)],
            penalty_window: [0, 1, 7, usize::MAX][pick(4)],
            seed: round,
        };
        let mut sampler = Sampler::new(options.clone(), logits.len());
        sampler.accept(pick(logits.len()) as u32);
        let token = sampler.sample(&logits) as usize;
        assert!(token < logits.len(), "{options:?}");
    }
    // A mask of minus infinity holds at any temperature at which numbers of this size still differ.
    let masked = [f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY, 0.5, f32::NAN];
    assert_eq!(drawn(SamplerOptions { temperature: 1000.0, ..plain() }, &masked), [1, 3]);
}

/// Large vocabularies take the paths that select instead of sorting.
#[test]
fn selection_equals_a_full_sort() {
    let mut random = SplitMix64::new(11);
    // Few values, so that there are many ties.
    let logits: Vec<f32> = (0..5000).map(|_| (random.unit() * 50.0).floor() as f32 / 10.0).collect();
    let mut sorted: Vec<usize> = (0..logits.len()).collect();
    sorted.sort_by(|&a, &b| logits[b].total_cmp(&logits[a])); // stable: ids ascend among equals
    let total: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
    let front = |p: f64| {
        let mut mass = 0.0;
        let n = sorted.iter().take_while(|&&id| {
            let before = mass;
            mass += f64::from(logits[id]).exp();
            before < p * total
        });
        n.copied().collect::<Vec<_>>()
    };
    for (options, mut expected) in [
        (SamplerOptions { top_k: 1, ..plain() }, sorted[..1].to_vec()),
        (SamplerOptions { top_k: 37, ..plain() }, sorted[..37].to_vec()),
        (SamplerOptions { top_k: 300, ..plain() }, sorted[..300].to_vec()),
        (SamplerOptions { top_p: 0.01, ..plain() }, front(0.01_f32.into())),
        (SamplerOptions { top_p: 0.1, ..plain() }, front(0.1_f32.into())),
    ] {
        // So hot that all that is left is drawn alike.
        let counts = draws(SamplerOptions { temperature: 1e9, ..options.clone() }, &logits, 20_000);
        let drawn: Vec<usize> = (0..logits.len()).filter(|&id| counts[id] > 0).collect();
        expected.sort_unstable();
        assert_eq!(drawn, expected, "{options:?}");
    }
}

#[test]
fn the_seed_decides() {
    let logits = vec![0.0; 1000];
    let sequence = |seed| {
        let mut sampler = Sampler::new(SamplerOptions { seed, ..SamplerOptions::default() }, logits.len());
        (0..20).map(|_| sampler.sample(&logits)).collect::<Vec<_>>()
    };
    assert_eq!(sequence(1), sequence(1));
    assert_ne!(sequence(1), sequence(2));
}
