//! What every encoder promises, whatever it searches: no worse than the plain formula of its format, finite, and exact
//! where the format can be.

mod plain;

use self::plain::{ENCODED, extreme, plainly};
use super::{Grid, encode, processor};
use blocks::{Block, TensorType, with_block};
use proptest::prelude::*;

/// What a type makes of weights.
fn through(ty: TensorType, weights: &[f32]) -> Vec<f32> {
    let mut bytes = vec![0; ty.row_bytes(weights.len() as u64).unwrap() as usize];
    encode(ty, weights, None, &mut bytes);
    decode(ty, &bytes)
}

fn decode(ty: TensorType, bytes: &[u8]) -> Vec<f32> {
    with_block!(ty, B => {
        let blocks = blocks::from_bytes::<B>(bytes);
        let mut decoded = vec![0.0; blocks.len() * B::LEN];
        blocks::decode(blocks, &mut decoded);
        decoded
    }, else panic!("no block for {ty}"))
}

fn rmse(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

/// What the errors cost, by the definition.
fn cost(ty: TensorType, weights: &[f32], decoded: &[f32], importance: Option<&[f32]>) -> f64 {
    let len = ty.block_len();
    let blocks =
        weights.chunks(len).zip(decoded.chunks(len)).enumerate().map(|(block, (weights, decoded))| {
            let squares = weights.iter().map(|&x| f64::from(x).clamp(-1e18, 1e18).powi(2));
            let mean = squares.clone().sum::<f64>() / len as f64;
            let errors = weights.iter().zip(decoded).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
            let costs = errors.zip(squares).enumerate().map(|(at, (error, square))| {
                let importance = importance.map_or(1.0, |all| f64::from(all[block * len + at]));
                importance * error * if mean > 0.0 { (1.0 + square / mean).sqrt() } else { 1.0 }
            });
            costs.sum::<f64>()
        });
    blocks.sum()
}

/// The cost if scales were off by a half's rounding. Where weights are nearly alike, chance decides below it.
fn cost_of_halves(ty: TensorType, weights: &[f32], importance: Option<&[f32]>) -> f64 {
    cost(ty, weights, &vec![0.0; weights.len()], importance) * 2f64.powi(-21)
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
            let (ours, plainly) = (through(ty, &weights), plainly(plain, &weights));
            println!(
                "{kind:24} {:6} {:.3e}, plainly {:.3e}",
                ty.name(),
                rmse(&weights, &ours),
                rmse(&weights, &plainly)
            );
            let [ours, theirs] = [ours, plainly].map(|decoded| cost(ty, &weights, &decoded, None));
            assert!(ours.is_finite(), "{kind}, {ty}");
            // Beyond the range of a half the plain formula has no error that is a number.
            assert!(
                ours <= (theirs * (1.0 + 1e-5)).max(cost_of_halves(ty, &weights, None)) || theirs.is_nan(),
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
        (TensorType::Q2K, -15.0 * HALF, 15.0 * 3.0 * HALF),
        (TensorType::Q3K, -31.0 * 4.0 * HALF, 31.0 * 4.0 * HALF),
        (TensorType::Q4K, -63.0 * HALF, 63.0 * 15.0 * HALF),
        (TensorType::Q5K, -63.0 * HALF, 63.0 * 31.0 * HALF),
        (TensorType::Q6K, -127.0 * 32.0 * HALF, 127.0 * 32.0 * HALF),
        (TensorType::Iq4Nl, -127.0 * HALF, 127.0 * HALF),
        (TensorType::Iq4Xs, -31.0 * 127.0 * HALF, 31.0 * 127.0 * HALF),
        (TensorType::Mxfp4, -(3.0 * 126f32.exp2()), 3.0 * 126f32.exp2()),
        (TensorType::Tq1_0, -HALF, HALF),
        (TensorType::Tq2_0, -HALF, HALF),
    ] {
        for (weight, largest) in [(f32::MIN, low), (f32::MAX, high)] {
            let mut weights = vec![0.0; 256];
            weights[5] = weight;
            let decoded = through(ty, &weights);
            // A little less where zeros become a little more.
            assert!((decoded[5] / largest - 1.0).abs() < 1e-2, "{ty}: {} for {largest}", decoded[5]);
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

/// Importance of columns as a run over a text gives it: a few count a hundred times what most do.
fn importance(n: usize) -> Vec<f32> {
    let mut u = uniform(3);
    (0..n).map(|_| 0.1 / u()).collect()
}

#[test]
fn what_is_important_comes_out_better() {
    for (kind, weights) in tensors() {
        let importance = importance(weights.len());
        for (ty, _) in ENCODED.into_iter().filter(|(ty, _)| ty.is_quantized()) {
            let mut bytes = vec![0; ty.row_bytes(weights.len() as u64).unwrap() as usize];
            encode(ty, &weights, Some(&importance), &mut bytes);
            let [with, without] = [decode(ty, &bytes), through(ty, &weights)]
                .map(|decoded| cost(ty, &weights, &decoded, Some(&importance)));
            if ["gaussian", "heavy tails", "uniform"].contains(&kind) {
                println!("{kind:24} {:6} {:.3}", ty.name(), (with / without).sqrt());
                assert!(with < 0.999 * without, "{kind}, {ty}: {with:e}, without {without:e}");
            }
            // A search among a few weights may be unlucky.
            let by_chance = cost_of_halves(ty, &weights, Some(&importance));
            assert!(with <= (1.1 * without).max(by_chance), "{kind}, {ty}: {with:e}, without {without:e}");
        }
    }
}

#[test]
fn alike_importance_is_none() {
    for (kind, weights) in tensors() {
        for (ty, _) in ENCODED {
            let mut bytes = vec![0; ty.row_bytes(weights.len() as u64).unwrap() as usize];
            encode(ty, &weights, Some(&vec![1.0; weights.len()]), &mut bytes);
            assert_eq!(decode(ty, &bytes), through(ty, &weights), "{kind}, {ty}");
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_instruction_set() {
    for (kind, weights) in tensors() {
        for (ty, _) in ENCODED {
            let by_level = kernels::Isa::available().into_iter().map(|isa| {
                processor::FORCED.set(Some(isa));
                let mut bytes = vec![0; ty.row_bytes(weights.len() as u64).unwrap() as usize];
                encode(ty, &weights, Some(&importance(weights.len())), &mut bytes);
                bytes
            });
            let by_level: Vec<_> = by_level.collect();
            assert!(by_level.iter().all(|bytes| *bytes == by_level[0]), "{kind}, {ty}");
        }
    }
}

/// Fits blocks, rounds each weight to the nearest value, and packs.
fn each_grid_is_what_it_decodes_to<B: Grid>(kind: &str, weights: &[f32]) {
    for weights in weights.chunks_exact(B::LEN).step_by(8192 / B::LEN / 8) {
        let scales = B::fit(weights, &vec![1.0; B::LEN]);
        let nearest = |at, weight| B::nearest(&scales, at, weight);
        let (codes, values): (Vec<u8>, Vec<f32>) =
            weights.iter().enumerate().map(|(at, &weight)| nearest(at, weight)).unzip();
        let mut decoded = vec![0.0; B::LEN];
        B::pack(&scales, &codes).decode(&mut decoded);
        let bits = |floats: &[f32]| floats.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&decoded), bits(&values), "{kind}, {}", B::TYPE);
        // No value that another weight gets in this place is nearer.
        for (at, (&weight, value)) in weights.iter().zip(&values).enumerate().step_by(5) {
            let off = (weight - value).abs();
            let nearer =
                weights.iter().find(|&&other| (weight - nearest(at, other).1).abs() < off * (1.0 - 1e-4));
            assert!(nearer.is_none(), "{kind}, {}: {weight} became {value}, {nearer:?} is nearer", B::TYPE);
        }
    }
}

#[test]
fn a_grid_is_what_it_decodes_to() {
    let mut n = 0;
    for (kind, weights) in tensors() {
        for ty in TensorType::all() {
            with_block!(grid ty, B => {
                n += 1;
                each_grid_is_what_it_decodes_to::<B>(kind, &weights);
            }, else ());
        }
    }
    assert_eq!(n, 15 * tensors().len());
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
            let [ours, theirs] =
                [decoded, plainly(plain, &weights)].map(|decoded| cost(ty, &weights, &decoded, None));
            let by_chance = cost_of_halves(ty, &weights, None);
            prop_assert!(
                !same_size || ours <= (theirs * (1.0 + 1e-5)).max(by_chance),
                "{ty}: {ours:e}, plainly {theirs:e}"
            );
        }
    }
}
