//! What every encoder promises, whatever it searches: no worse than the plain formula of its format, finite, and exact
//! where the format can be.

use super::encode;
use blocks::{Block, TensorType, with_block};
use half::f16;
use proptest::prelude::*;

/// A type, and what one block becomes by its format's formula without any search, as ggml's reference quantizers have
/// it.
type Plain = (TensorType, fn(&[f32]) -> Vec<f32>);

const ENCODED: [Plain; 9] = [
    (TensorType::F32, |x| x.to_vec()),
    (TensorType::F16, |x| vec![half(x[0])]),
    (TensorType::Bf16, |x| vec![half::bf16::from_f32(x[0]).to_f32()]),
    (TensorType::Q4_0, |x| plain_symmetric(x, 8.0)),
    (TensorType::Q4_1, |x| plain_affine(x, 15.0)),
    (TensorType::Q5_0, |x| plain_symmetric(x, 16.0)),
    (TensorType::Q5_1, |x| plain_affine(x, 31.0)),
    (TensorType::Q8_0, |x| {
        let d = extreme(x).abs() / 127.0;
        x.iter().map(|x| (x * inverse(d)).round() * half(d)).collect()
    }),
    (TensorType::Q6K, plain_q6_k),
];

/// What a type makes of weights.
fn through(ty: TensorType, weights: &[f32]) -> Vec<f32> {
    with_block!(ty, B => {
        let mut bytes = vec![0; weights.len() / B::LEN * size_of::<B>()];
        encode(ty, weights, None, &mut bytes);
        let mut decoded = vec![0.0; weights.len()];
        blocks::decode::<B>(blocks::from_bytes(&bytes), &mut decoded);
        decoded
    }, else panic!("no block for {ty}"))
}

fn rmse(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

/// What weights become by the plain formula.
fn plainly((ty, block): Plain, weights: &[f32]) -> Vec<f32> {
    weights.chunks(ty.block_len()).flat_map(block).collect()
}

fn half(x: f32) -> f32 {
    f16::from_f32(x).to_f32()
}

fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// The largest becomes −n.
fn plain_symmetric(x: &[f32], n: f32) -> Vec<f32> {
    let d = -extreme(x) / n;
    let q = |x: &f32| (x * inverse(d) + n + 0.5).floor().min(2.0 * n - 1.0) - n;
    x.iter().map(|x| q(x) * half(d)).collect()
}

/// The smallest becomes 0, the largest `top`.
fn plain_affine(x: &[f32], top: f32) -> Vec<f32> {
    let (min, max) = x.iter().fold((f32::MAX, f32::MIN), |(min, max), &x| (min.min(x), max.max(x)));
    let d = (max - min) / top;
    let q = |x: &f32| ((x - min) * inverse(d) + 0.5).floor().min(top);
    x.iter().map(|x| q(x) * half(d) + half(min)).collect()
}

fn extreme(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |best: f32, &x| if x.abs() > best.abs() { x } else { best })
}

/// Groups' scales by least squares with weights x² over nineteen candidates; the largest becomes −128.
fn plain_q6_k(x: &[f32]) -> Vec<f32> {
    let round = |x: f32, scale: f32| (x * scale).round_ties_even().clamp(-32.0, 31.0);
    let scale = |group: &[f32]| {
        let max = extreme(group);
        if max.abs() < 1e-15 {
            return 0.0;
        }
        let fit = |step: i32| {
            let inverse = -(32.0 + 0.1 * step as f32) / max;
            let (xq, qq) = group.iter().fold((0.0, 0.0), |(xq, qq), &x| {
                let q = round(x, inverse);
                (xq + x * x * x * q, qq + x * x * q * q)
            });
            if qq > 0.0 { (xq * xq / qq, xq / qq) } else { (0.0, 0.0) }
        };
        (-9..=9)
            .map(fit)
            .fold((0.0, 0.0), |best: (f32, f32), next| if next.0 > best.0 { next } else { best })
            .1
    };
    let scales: Vec<f32> = x.chunks(16).map(scale).collect();
    let max = extreme(&scales);
    if max.abs() < 1e-15 {
        return vec![0.0; 256];
    }
    let d = f16::from_f32(max / -128.0).to_f32();
    let decoded = x.chunks(16).zip(&scales).flat_map(|(group, scale)| {
        let step = d * (scale * -128.0 / max).round_ties_even().min(127.0);
        group.iter().map(move |&x| if step == 0.0 { 0.0 } else { round(x, 1.0 / step) * step })
    });
    decoded.collect()
}

/// Repeatable numbers, uniform in 0…1.
fn uniform(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 + 0.5) / (1 << 24) as f32
    }
}

/// 8192 weights of each kind that a model has or that has broken a quantizer.
fn tensors() -> Vec<(&'static str, Vec<f32>)> {
    const N: usize = 8192;
    let make = |weight: &mut dyn FnMut(usize) -> f32| (0..N).map(weight).collect::<Vec<_>>();
    let mut u = uniform(1);
    let mut v = uniform(2);
    let mut gauss = move || (-2.0 * v().ln()).sqrt() * (std::f32::consts::TAU * v()).cos();
    vec![
        ("gaussian", make(&mut |_| 0.02 * gauss())),
        ("heavy tails", make(&mut |_| 0.02 * gauss() / u().max(0.02))),
        ("uniform", make(&mut |_| u() - 0.5)),
        ("positive", make(&mut |_| u() + 3.0)),
        ("one outlier in a block", make(&mut |i| if i % 256 == 77 { 40.0 } else { 0.02 * gauss() })),
        ("rows of different size", make(&mut |i| gauss() * 10f32.powi((i / 512) as i32 % 8 - 5))),
        ("alternating", make(&mut |i| if i % 2 == 0 { 1.0 } else { -1.0 })),
        ("few values", make(&mut |i| (i * i % 5) as f32 * 0.3 - 0.6)),
        ("constant", make(&mut |_| 0.37)),
        ("negative constant", make(&mut |_| -0.37)),
        ("nearly constant", make(&mut |_| 1000.0 + 0.01 * gauss())),
        ("tiny", make(&mut |_| 1e-6 * gauss())),
        ("below the smallest half", make(&mut |_| 1e-9 * gauss())),
        ("denormal", make(&mut |_| 1e-41 * gauss())),
        ("large", make(&mut |_| 1e4 * gauss())),
        ("large and positive", make(&mut |_| 1e5 * u())),
        ("huge", make(&mut |_| 1e30 * gauss())),
        ("zero", make(&mut |_| 0.0)),
        ("minus zero", make(&mut |_| -0.0)),
        ("mostly zero", make(&mut |i| if i % 97 == 0 { gauss() } else { 0.0 })),
    ]
}

#[test]
fn no_tensor_is_worse_than_by_the_plain_formula() {
    for (kind, weights) in tensors() {
        for plain @ (ty, _) in ENCODED {
            let (ours, theirs) =
                (rmse(&weights, &through(ty, &weights)), rmse(&weights, &plainly(plain, &weights)));
            println!("{kind:24} {:5} {ours:.3e}, plainly {theirs:.3e}", ty.name());
            assert!(ours.is_finite(), "{kind}, {ty}");
            // Beyond the range of a half the plain formula has no error that is a number.
            assert!(
                ours <= theirs * (1.0 + 1e-6) || theirs.is_nan(),
                "{kind}, {ty}: {ours:e}, plainly {theirs:e}"
            );
        }
    }
}

#[test]
fn what_was_in_a_format_before_stays_as_it_is() {
    for (kind, weights) in tensors() {
        for ty in [TensorType::F32, TensorType::F16, TensorType::Bf16, TensorType::Q8_0] {
            let once = through(ty, &weights);
            let twice = through(ty, &once);
            for (once, twice) in once.chunks(32).zip(twice.chunks(32)) {
                // Scales below 2⁻¹⁴ have fewer bits than the search supposes.
                if ty != TensorType::Q8_0 || extreme(once).abs() >= 127.0 / 16384.0 {
                    assert_eq!(once, twice, "{kind}, {ty}");
                }
            }
        }
    }
}

#[test]
fn beyond_the_range_stands_the_largest_that_the_format_has() {
    const HALF: f32 = 65504.0;
    let bf16 = half::bf16::MAX.to_f32();
    for (ty, low, high) in [
        (TensorType::F32, f32::MIN, f32::MAX),
        (TensorType::F16, -HALF, HALF),
        (TensorType::Bf16, -bf16, bf16),
        (TensorType::Q4_0, -8.0 * HALF, 8.0 * HALF),
        (TensorType::Q4_1, -HALF, 15.0 * HALF),
        (TensorType::Q5_0, -16.0 * HALF, 16.0 * HALF),
        (TensorType::Q5_1, -HALF, 31.0 * HALF),
        (TensorType::Q8_0, -127.0 * HALF, 127.0 * HALF),
        (TensorType::Q6K, -127.0 * 32.0 * HALF, 127.0 * 32.0 * HALF),
    ] {
        for (weight, largest) in [(f32::MIN, low), (f32::MAX, high)] {
            let mut weights = vec![0.0; 256];
            weights[5] = weight;
            let decoded = through(ty, &weights);
            assert!((decoded[5] / largest - 1.0).abs() < 1e-3, "{ty}: {} for {largest}", decoded[5]);
        }
    }
}

#[test]
#[should_panic(expected = "33 weights for 1 blocks")]
fn weights_and_blocks_must_agree() {
    encode(TensorType::Q4_0, &[0.0; 33], None, &mut [0; 18]);
}

#[test]
#[should_panic(expected = "no encoder for IQ2_XXS")]
fn a_type_without_blocks_has_no_encoder() {
    encode(TensorType::Iq2Xxs, &[0.0; 256], None, &mut [0; 66]);
}

proptest! {
    /// Any bit pattern that is a number: of all sizes, denormals and the largest among them.
    #[test]
    fn finite_weights_decode_to_finite_weights(
        bits in proptest::collection::vec(any::<u32>(), 256),
        same_size in any::<bool>(),
    ) {
        let weight = |bits| if same_size { f32::from_bits(bits & 0x81ff_ffff | 0x3a00_0000) } else { f32::from_bits(bits) };
        let weights: Vec<f32> = bits.into_iter().map(weight).map(|x| if x.is_finite() { x } else { f32::MAX }).collect();
        for plain @ (ty, _) in ENCODED {
            let decoded = through(ty, &weights);
            prop_assert!(decoded.iter().all(|x| x.is_finite()), "{ty}");
            let (ours, theirs) = (rmse(&weights, &decoded), rmse(&weights, &plainly(plain, &weights)));
            prop_assert!(!same_size || ours <= theirs * (1.0 + 1e-6), "{ty}: {ours:e}, plainly {theirs:e}");
        }
    }
}
