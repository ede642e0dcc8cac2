//! Matrices of inputs that go together, as a model's do.

use super::*;

const N: usize = 512;
const N_ROWS: usize = 70;

/// Repeatable numbers, normally distributed.
fn gauss(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 + 0.5) / (1 << 24) as f32
    };
    move || (-2.0 * uniform().ln()).sqrt() * (std::f32::consts::TAU * uniform()).cos()
}

/// Rows of inputs: 24 things that they tell, and noise. Columns differ in size.
fn inputs(n: usize, n_tokens: usize) -> Vec<f32> {
    let mut random = gauss(1);
    let told: Vec<f32> = (0..24 * n).map(|_| random()).collect();
    let mut x = Vec::with_capacity(n_tokens * n);
    for _ in 0..n_tokens {
        let things: Vec<f32> = (0..24).map(|_| random()).collect();
        for column in 0..n {
            let sum: f32 = things.iter().enumerate().map(|(k, thing)| thing * told[k * n + column]).sum();
            x.push((sum * 0.3 + random()) * (1.0 + (column % 7) as f32));
        }
    }
    x
}

fn weights(n: usize) -> Vec<f32> {
    let mut random = gauss(2);
    (0..N_ROWS * n).map(|_| 0.02 * random()).collect()
}

/// The input, and its held-out tokens as they were.
fn learned(n: usize) -> (Input, Vec<f32>) {
    let x = inputs(n, 1200);
    let (learned, held_out) = x.split_at(1000 * n);
    let mut moments = Moments::new(n);
    learned.chunks(100 * n).for_each(|x| moments.add(x));
    moments.hold_out(held_out);
    (moments.normalize().unwrap(), held_out.to_vec())
}

/// Quantizes the weights, on so many threads.
fn quantized(ty: TensorType, n: usize, input: &mut Input, n_threads: usize) -> (Vec<u8>, Loss) {
    let weights = weights(n);
    let fill = |rows: Range<usize>, out: &mut [f32]| {
        out.copy_from_slice(&weights[rows.start * n..rows.end * n]);
        Ok(())
    };
    let task = Task { ty, n_rows: N_ROWS, fill: &fill };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
    pool.install(|| {
        let choice = choose(input, None, std::slice::from_ref(&task)).unwrap();
        encode(input, None, choice, &task, true, &|_| Ok(())).unwrap()
    })
}

/// The outputs of rows for tokens, and what they lose where the rows become others.
fn outputs_of(tokens: &[f32], rows: &[f32], others: &[f32]) -> Share {
    let n = rows.len() / N_ROWS;
    let mut share = Share::default();
    for token in tokens.chunks(n) {
        for (row, other) in rows.chunks(n).zip(others.chunks(n)) {
            let (mut output, mut error) = (0.0, 0.0);
            for ((w, other), x) in row.iter().zip(other).zip(token) {
                output += w * x;
                error += (w - other) * x;
            }
            share.add(Share { error: f64::from(error).powi(2), whole: f64::from(output).powi(2) });
        }
    }
    share
}

#[test]
fn errors_are_made_good_and_judged_as_they_are() {
    for ty in TensorType::all().filter(|ty| with_block!(grid *ty, _B => true, else false)) {
        let n = N;
        let (mut input, held_out) = learned(n);
        let (bytes, loss) = quantized(ty, n, &mut input, 2);
        let judgement = loss.judgement.unwrap();
        let weights = weights(n);
        let mut decoded = vec![0.0; weights.len()];
        with_block!(ty, B => blocks::decode::<B>(blocks::from_bytes(&bytes), &mut decoded), else panic!());
        println!("{ty:8} {loss:?}");
        let of_weights = Share::of(&weights, &decoded, None);
        assert!((loss.weights.error / of_weights.error - 1.0).abs() < 1e-9, "{ty}: {of_weights:?}");
        let learned_from = &inputs(n, 1200)[..1000 * n];
        for (found, tokens) in [(loss.held_out.unwrap(), &held_out[..]), (loss.train.unwrap(), learned_from)]
        {
            let expected = outputs_of(tokens, &weights, &decoded);
            for (found, expected) in [(found.error, expected.error), (found.whole, expected.whole)] {
                assert!((found / expected - 1.0).abs() < 1e-3, "{ty}: {found} and {expected}");
            }
        }
        let [plain, importance, feedback] = judgement.held_out;
        let taken = loss.held_out.unwrap().error;
        assert!(taken <= plain.min(importance).min(feedback), "{ty}: {judgement:?}");
        assert_eq!(judgement.n_rows.iter().sum::<u64>(), N_ROWS as u64);
        // Where errors are large, and inputs go together, most of what importance alone leaves is made good.
        assert!(feedback < 0.8 * importance, "{ty}: {judgement:?}");
    }
}

#[test]
fn no_number_of_threads_changes_a_bit() {
    // Rows of two spans, the second of which is shorter.
    for (ty, n) in [(TensorType::Q4_0, 352), (TensorType::Q6K, N)] {
        let (mut input, _) = learned(n);
        let alone = quantized(ty, n, &mut input, 1);
        assert!(quantized(ty, n, &mut input, 3) == alone, "{ty}");
    }
}

#[test]
fn noise_is_not_believed() {
    // Hardly any tokens: correlations are chance.
    let n = N;
    let mut random = gauss(5);
    let x: Vec<f32> = (0..300 * n).map(|_| random()).collect();
    let mut moments = Moments::new(n);
    moments.add(&x[..40 * n]);
    moments.hold_out(&x[40 * n..]);
    let mut input = moments.normalize().unwrap();
    let (_, loss) = quantized(TensorType::Q4_0, n, &mut input, 2);
    let judgement = loss.judgement.unwrap();
    assert!(judgement.shrink >= 0.6, "{judgement:?}");
    assert!(loss.held_out.unwrap().error <= judgement.held_out[0], "{loss:?}");
}

#[test]
fn a_stop_is_heard() {
    let (mut input, _) = learned(N);
    let fill = |_: Range<usize>, out: &mut [f32]| {
        out.fill(0.5);
        Ok(())
    };
    let task = Task { ty: TensorType::Q4_0, n_rows: 3, fill: &fill };
    input.factor(0.3);
    let choice = Choice { shrink: 0.3, strength: 0.0 };
    let stopped = encode(&input, None, choice, &task, false, &|_| Err(Cancelled));
    assert!(matches!(stopped, Err(Error::Cancelled(_))));
}

#[test]
fn what_layers_below_lack_is_made_good_as_far_as_it_shows() {
    // The original's inputs are twice as large in some columns: rows should be twice as large there.
    let n = N;
    let x = inputs(n, 1200);
    let (mut moments, mut upstream) = (Moments::new(n), Upstream::new(n));
    for (window, x) in x.chunks(100 * n).enumerate() {
        let original: Vec<f32> = x
            .iter()
            .enumerate()
            .map(|(at, x)| if (at % n).is_multiple_of(3) { 2.0 * x } else { *x })
            .collect();
        if window < 10 {
            moments.add(x);
            upstream.add(x, &original);
        } else {
            moments.hold_out(x);
            upstream.hold_out(x, &original);
        }
    }
    let mut input = moments.normalize().unwrap();
    let weights = weights(n);
    let fill = |rows: Range<usize>, out: &mut [f32]| {
        out.copy_from_slice(&weights[rows.start * n..rows.end * n]);
        Ok(())
    };
    let task = Task { ty: TensorType::Q8_0, n_rows: N_ROWS, fill: &fill };
    let choice = choose(&mut input, Some(&upstream), std::slice::from_ref(&task)).unwrap();
    assert_eq!(choice.strength, 1.0);
    let (bytes, loss) = encode(&input, Some(&upstream), choice, &task, false, &|_| Ok(())).unwrap();
    assert!(loss.held_out.unwrap().error < 0.01 * loss.judgement.unwrap().held_out[0], "{loss:?}");
    assert_eq!(loss.train, None, "nobody asked");
    let mut decoded = vec![0.0; weights.len()];
    blocks::decode::<blocks::Q8_0>(blocks::from_bytes(&bytes), &mut decoded);
    let ratio = |column: usize| {
        let pairs = || weights.chunks(n).zip(decoded.chunks(n)).map(|(w, q)| (w[column], q[column]));
        pairs().map(|(w, q)| w * q).sum::<f32>() / pairs().map(|(w, _)| w * w).sum::<f32>()
    };
    assert!((ratio(3) - 2.0).abs() < 0.1 && (ratio(4) - 1.0).abs() < 0.1, "{} {}", ratio(3), ratio(4));
}
