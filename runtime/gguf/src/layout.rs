//! Where tensors lie: the rules that reader and writer share.

#![forbid(unsafe_code)]

use crate::{Metadata, Value};
use blocks::TensorType;

/// The key that sets the alignment.
pub(crate) const ALIGNMENT_KEY: &str = "general.alignment";
/// The alignment of a file that does not say.
pub(crate) const DEFAULT_ALIGNMENT: u64 = 32;
/// Dimensions of a tensor: ggml has no more.
pub(crate) const MAX_DIMS: usize = 4;
/// Length of a key: GGUF's own limit.
pub(crate) const MAX_KEY_BYTES: usize = 65_535;

/// The next multiple of `alignment`, a power of two.
pub(crate) fn align_up(offset: u64, alignment: u64) -> Option<u64> {
    offset.checked_next_multiple_of(alignment)
}

/// The alignment that a file's metadata asks for, or what is wrong with it.
pub(crate) fn alignment(metadata: &Metadata) -> Result<u64, String> {
    match metadata.get(ALIGNMENT_KEY) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(&Value::U32(alignment)) if alignment.is_power_of_two() => Ok(u64::from(alignment)),
        Some(Value::U32(alignment)) => Err(format!("{alignment} is no power of two")),
        Some(other) => Err(format!("found {}, expected u32", other.type_name())),
    }
}

/// Bytes of a tensor, or what is wrong with its shape.
pub(crate) fn tensor_bytes(ty: TensorType, shape: &[u64]) -> Result<u64, String> {
    let too_big = || format!("its shape {shape:?} is too big: its bytes do not fit 64 bits");
    if shape.is_empty() || shape.len() > MAX_DIMS {
        return Err(format!("it has {} dimensions, not 1 to {MAX_DIMS}", shape.len()));
    }
    if shape.contains(&0) {
        return Err(format!("its shape {shape:?} has an empty dimension"));
    }
    if !shape[0].is_multiple_of(ty.block_len() as u64) {
        return Err(format!(
            "its rows of {} weights are no whole blocks: {ty} has {} weights in each",
            shape[0],
            ty.block_len()
        ));
    }
    // The number of weights too must fit: others multiply it without a check.
    shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim)).ok_or_else(too_big)?;
    let row_bytes = ty.row_bytes(shape[0]).ok_or_else(too_big)?;
    shape[1..].iter().try_fold(row_bytes, |product, &dim| product.checked_mul(dim)).ok_or_else(too_big)
}

/// What is wrong with a key or a tensor's name, if anything.
pub(crate) fn check_name(name: &str, max_bytes: usize) -> Result<(), String> {
    match name.len() {
        0 => Err("it is empty".into()),
        n_bytes if n_bytes > max_bytes => Err(format!("it has {n_bytes} bytes, more than {max_bytes}")),
        _ => Ok(()),
    }
}
