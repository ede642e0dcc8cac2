//! The one table of tensor types: their number in a file, their name, and the shape of a block.

use core::fmt;

/// How a tensor's weights are stored: the `type` field of a GGUF tensor.
///
/// All types that ggml defines are here, so that a file can be measured and inspected whatever it holds; those that
/// llamita can decode and multiply are listed by [`with_block!`](crate::with_block).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are the documentation: GGUF's own, in the language's case")]
pub enum TensorType {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q5_0 = 6,
    Q5_1 = 7,
    Q8_0 = 8,
    Q8_1 = 9,
    Q2K = 10,
    Q3K = 11,
    Q4K = 12,
    Q5K = 13,
    Q6K = 14,
    Q8K = 15,
    Iq2Xxs = 16,
    Iq2Xs = 17,
    Iq3Xxs = 18,
    Iq1S = 19,
    Iq4Nl = 20,
    Iq3S = 21,
    Iq2S = 22,
    Iq4Xs = 23,
    I8 = 24,
    I16 = 25,
    I32 = 26,
    I64 = 27,
    F64 = 28,
    Iq1M = 29,
    Bf16 = 30,
    Tq1_0 = 34,
    Tq2_0 = 35,
    Mxfp4 = 39,
    Nvfp4 = 40,
    Q1_0 = 41,
    Q2_0 = 42,
}

/// A row of the table: the type, its name as GGUF spells it, weights in a block, bytes of a block.
struct Row(TensorType, &'static str, usize, usize);

/// Sorted by wire number. Sizes are those of `ggml-common.h`.
const TABLE: &[Row] = {
    use TensorType::*;
    &[
        Row(F32, "F32", 1, 4),
        Row(F16, "F16", 1, 2),
        Row(Q4_0, "Q4_0", 32, 18),
        Row(Q4_1, "Q4_1", 32, 20),
        Row(Q5_0, "Q5_0", 32, 22),
        Row(Q5_1, "Q5_1", 32, 24),
        Row(Q8_0, "Q8_0", 32, 34),
        Row(Q8_1, "Q8_1", 32, 36),
        Row(Q2K, "Q2_K", 256, 84),
        Row(Q3K, "Q3_K", 256, 110),
        Row(Q4K, "Q4_K", 256, 144),
        Row(Q5K, "Q5_K", 256, 176),
        Row(Q6K, "Q6_K", 256, 210),
        Row(Q8K, "Q8_K", 256, 292),
        Row(Iq2Xxs, "IQ2_XXS", 256, 66),
        Row(Iq2Xs, "IQ2_XS", 256, 74),
        Row(Iq3Xxs, "IQ3_XXS", 256, 98),
        Row(Iq1S, "IQ1_S", 256, 50),
        Row(Iq4Nl, "IQ4_NL", 32, 18),
        Row(Iq3S, "IQ3_S", 256, 110),
        Row(Iq2S, "IQ2_S", 256, 82),
        Row(Iq4Xs, "IQ4_XS", 256, 136),
        Row(I8, "I8", 1, 1),
        Row(I16, "I16", 1, 2),
        Row(I32, "I32", 1, 4),
        Row(I64, "I64", 1, 8),
        Row(F64, "F64", 1, 8),
        Row(Iq1M, "IQ1_M", 256, 56),
        Row(Bf16, "BF16", 1, 2),
        Row(Tq1_0, "TQ1_0", 256, 54),
        Row(Tq2_0, "TQ2_0", 256, 66),
        Row(Mxfp4, "MXFP4", 32, 17),
        Row(Nvfp4, "NVFP4", 64, 36),
        Row(Q1_0, "Q1_0", 128, 18),
        Row(Q2_0, "Q2_0", 64, 18),
    ]
};

impl TensorType {
    /// All types, by wire number.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    fn row(self) -> &'static Row {
        let at = TABLE.binary_search_by_key(&(self as u32), |row| row.0 as u32);
        &TABLE[at.expect("every variant has its row: a test walks them")]
    }

    /// The number that stands for this type in a file.
    pub fn wire(self) -> u32 {
        self as u32
    }

    /// The name as GGUF spells it: `Q4_0`, `BF16`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The type of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1.eq_ignore_ascii_case(name)).map(|row| row.0)
    }

    /// Weights in a block: 1 for plain numbers.
    pub fn block_len(self) -> usize {
        self.row().2
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.row().3
    }

    /// Bytes of a row of `n_cols` weights; `None` if that is no whole number of blocks or does not fit 64 bits.
    pub fn row_bytes(self, n_cols: u64) -> Option<u64> {
        let len = self.block_len() as u64;
        n_cols.is_multiple_of(len).then(|| (n_cols / len).checked_mul(self.block_bytes() as u64)).flatten()
    }

    /// Whether a block holds more than one weight: a quantized type.
    pub fn is_quantized(self) -> bool {
        self.block_len() > 1
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A type number that ggml does not define.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTensorType(
    /// The number as the file had it.
    pub u32,
);

impl fmt::Display for UnknownTensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown tensor type {}", self.0)
    }
}

impl core::error::Error for UnknownTensorType {}

impl TryFrom<u32> for TensorType {
    type Error = UnknownTensorType;

    fn try_from(wire: u32) -> Result<Self, UnknownTensorType> {
        TABLE
            .binary_search_by_key(&wire, |row| row.0 as u32)
            .map(|at| TABLE[at].0)
            .map_err(|_| UnknownTensorType(wire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_named_once() {
        for pair in TABLE.windows(2) {
            assert!((pair[0].0 as u32) < pair[1].0 as u32, "{:?}", pair[1].0);
        }
        for ty in TensorType::all() {
            assert_eq!(TensorType::from_name(ty.name()), Some(ty));
        }
        assert_eq!(TensorType::try_from(4), Err(UnknownTensorType(4)));
        assert_eq!(TensorType::from_name("q6_k"), Some(TensorType::Q6K));
    }

    #[test]
    fn a_row_is_whole_blocks() {
        assert_eq!(TensorType::Q4_0.row_bytes(4096), Some(2304));
        assert_eq!(TensorType::Q4_0.row_bytes(33), None);
        assert_eq!(TensorType::Q6K.row_bytes(u64::MAX), None);
        assert_eq!(TensorType::F32.row_bytes(u64::MAX), None);
    }
}
