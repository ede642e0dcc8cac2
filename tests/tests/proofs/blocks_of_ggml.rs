//! Our blocks are ggml's: what we decode is equal to the last bit, what we encode is no worse than what its reference
//! quantizer makes of the same weights.

use blocks::{Block, TensorType, with_block};
use gguf::File;
use llamita_tests::converted;
use quantize::FileType;

/// Types that have blocks here.
fn types() -> Vec<TensorType> {
    let types: Vec<_> = TensorType::all().filter(|&ty| with_block!(ty, _B => true, else false)).collect();
    assert!(types.len() >= 18, "{types:?}");
    types
}

fn decode(ty: TensorType, bytes: &[u8]) -> Vec<f32> {
    with_block!(ty, B => {
        let blocks = blocks::from_bytes::<B>(bytes);
        let mut weights = vec![0.0; blocks.len() * B::LEN];
        blocks::decode(blocks, &mut weights);
        weights
    }, else unreachable!())
}

/// Bytes without order: every scale, infinite and not-a-number ones among them.
fn random_bytes(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..n).map(|_| next()).collect()
}

#[test]
fn decoding_is_bit_equal_to_ggmls() {
    for ty in types() {
        let bytes = random_bytes(ty.block_bytes() * if ty.is_quantized() { 4000 } else { 100_000 });
        let (ours, theirs) = (decode(ty, &bytes), ggml::dequantize(ty, &bytes));
        assert_eq!(ours.len(), theirs.len());
        let mut n_finite = 0;
        for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            // Which of its many bit patterns a not-a-number has is no part of the format.
            let same = ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan();
            assert!(same, "{ty}, weight {at}: {ours:?} is {theirs:?} in ggml");
            n_finite += usize::from(ours.is_finite());
        }
        assert!(n_finite > ours.len() / 2, "{ty}: {n_finite} finite");
    }
}

fn rmse(weights: &[f32], decoded: &[f32]) -> f64 {
    let squares = weights.iter().zip(decoded).map(|(a, b)| f64::from(a - b).powi(2));
    (squares.sum::<f64>() / weights.len() as f64).sqrt()
}

#[test]
fn encoders_are_no_worse_than_ggmls_on_any_tensor() {
    let file = File::open(converted(FileType::F32)).unwrap();
    let matrices = file.tensors().iter().filter(|tensor| tensor.shape.len() == 2);
    for (n_done, tensor) in matrices.enumerate() {
        let weights = decode(TensorType::F32, file.bytes(tensor));
        for ty in types() {
            let mut bytes = vec![0; ty.row_bytes(weights.len() as u64).unwrap() as usize];
            quantize::encode(ty, &weights, None, &mut bytes);
            let ours = rmse(&weights, &decode(ty, &bytes));
            let theirs = rmse(&weights, &decode(ty, &ggml::reference_quantize(ty, &weights)));
            assert!(ours <= theirs, "{} as {ty}: RMSE {ours:e} here, {theirs:e} in ggml", tensor.name);
            assert!(n_done > 0 || ty != TensorType::Q4_0 || ours > 0.0);
        }
    }
}
