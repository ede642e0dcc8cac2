//! Rows of weights through ggml's reference code: the scalar functions that define what a block means.

use blocks::TensorType;
use ggml_sys::{GGML_TYPE_COUNT, ggml_get_type_traits, ggml_type_traits};

/// ggml's entry for a type, after checking that it measures blocks as our table does: the lengths below rest on it.
fn traits(ty: TensorType) -> &'static ggml_type_traits {
    assert!(ty.wire() < GGML_TYPE_COUNT, "ggml has no type {ty}");
    // SAFETY: the number is below GGML_TYPE_COUNT (checked above), so ggml returns a pointer into its constant table.
    let traits = unsafe { &*ggml_get_type_traits(ty.wire()) };
    assert_eq!(
        (traits.blck_size, traits.type_size),
        (ty.block_len() as i64, ty.block_bytes()),
        "ggml's blocks of {ty} have another size"
    );
    traits
}

/// Room for `n_bytes` at an address that suits every C type.
fn aligned(n_bytes: usize) -> Vec<u64> {
    vec![0; n_bytes.div_ceil(8)]
}

/// Encodes `weights` as ggml's reference quantizer does, without an importance matrix.
///
/// # Panics
/// If `weights` is no whole number of blocks, or ggml has no quantizer for the type.
pub fn reference_quantize(ty: TensorType, weights: &[f32]) -> Vec<u8> {
    if ty == TensorType::F32 {
        return weights.iter().flat_map(|weight| weight.to_le_bytes()).collect(); // ggml has no function for nothing
    }
    let from_float = traits(ty).from_float_ref.unwrap_or_else(|| panic!("ggml has no quantizer for {ty}"));
    let n_bytes = ty.row_bytes(weights.len() as u64).expect("a whole number of blocks") as usize;
    let mut out = aligned(n_bytes);
    // SAFETY: the function reads `weights.len()` floats, a whole number of blocks, and writes their blocks, which are
    // `n_bytes` bytes because `traits` has checked the block's measures; `out` has at least as many, and is aligned.
    unsafe { from_float(weights.as_ptr(), out.as_mut_ptr().cast(), weights.len() as i64) };
    bytemuck::cast_slice(&out)[..n_bytes].to_vec()
}

/// Decodes blocks as ggml does.
///
/// # Panics
/// If `bytes` is no whole number of blocks, or ggml cannot decode the type.
pub fn dequantize(ty: TensorType, bytes: &[u8]) -> Vec<f32> {
    assert!(
        bytes.len().is_multiple_of(ty.block_bytes()),
        "{} bytes are no whole blocks of {ty}",
        bytes.len()
    );
    let mut out = vec![0f32; bytes.len() / ty.block_bytes() * ty.block_len()];
    if ty == TensorType::F32 {
        bytemuck::cast_slice_mut(&mut out).copy_from_slice(bytes);
        return out;
    }
    let mut blocks = aligned(bytes.len());
    bytemuck::cast_slice_mut(&mut blocks)[..bytes.len()].copy_from_slice(bytes);
    let to_float = traits(ty).to_float.unwrap_or_else(|| panic!("ggml cannot decode {ty}"));
    // SAFETY: the function reads the blocks of `out.len()` weights, which are `bytes.len()` bytes because `traits` has
    // checked the block's measures, from an aligned copy that is as long, and writes `out.len()` floats.
    unsafe { to_float(blocks.as_ptr().cast(), out.as_mut_ptr(), out.len() as i64) };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quantized_can_be_decoded() {
        let weights: Vec<f32> = (0..512).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
        for ty in TensorType::all().filter(|ty| ty.row_bytes(512).is_some()) {
            let known =
                ty == TensorType::F32 || traits(ty).from_float_ref.is_some() && traits(ty).to_float.is_some();
            if !known || ty.name().starts_with("IQ") {
                continue; // the codebooks of the IQ types want an initialization that nobody here needs
            }
            let bytes = reference_quantize(ty, &weights);
            assert_eq!(bytes.len() as u64, ty.row_bytes(512).unwrap(), "{ty}");
            let decoded = dequantize(ty, &bytes);
            let worst = weights.iter().zip(&decoded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(
                worst < if ty.block_bytes() * 8 < 3 * ty.block_len() { 1.1 } else { 0.5 },
                "{ty}: off by {worst}"
            );
        }
    }
}
