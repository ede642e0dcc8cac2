//! What a file of a name holds: which type each tensor gets.
//!
//! The choices are llama.cpp's, so that a file called `q4_0` has the same types whoever made it: norms, routers and
//! everything that is no matrix stay F32; the output matrix, whose errors reach the logits undiluted, gets more bits.

use blocks::TensorType;
use std::fmt;
use std::str::FromStr;

/// The types that a whole file can be converted to; `general.file_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are llama.cpp's")]
pub enum FileType {
    F32,
    F16,
    Bf16,
    Q8_0,
    Q5_1,
    Q5_0,
    Q4_1,
    Q4_0,
}

/// A row of the table: the type, its name, its number in a file, what its matrices are, what its output matrix is.
struct Row(FileType, &'static str, u32, TensorType, TensorType);

/// In the order of the variants. The numbers are llama.cpp's `LLAMA_FTYPE_*`.
const TABLE: [Row; 8] = {
    use TensorType as T;
    [
        Row(FileType::F32, "f32", 0, T::F32, T::F32),
        Row(FileType::F16, "f16", 1, T::F16, T::F16),
        Row(FileType::Bf16, "bf16", 32, T::Bf16, T::Bf16),
        Row(FileType::Q8_0, "q8_0", 7, T::Q8_0, T::Q8_0),
        Row(FileType::Q5_1, "q5_1", 9, T::Q5_1, T::Q6K),
        Row(FileType::Q5_0, "q5_0", 8, T::Q5_0, T::Q6K),
        Row(FileType::Q4_1, "q4_1", 3, T::Q4_1, T::Q6K),
        Row(FileType::Q4_0, "q4_0", 2, T::Q4_0, T::Q6K),
    ]
};

impl FileType {
    /// All of them, the largest first.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// As the command line spells it: `q4_0`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The type of this name, in any case.
    pub fn from_name(name: &str) -> Result<Self, UnknownFileType> {
        let row = TABLE.iter().find(|row| row.1.eq_ignore_ascii_case(name));
        row.map(|row| row.0).ok_or_else(|| UnknownFileType(name.to_owned()))
    }

    /// The number under `general.file_type` (llama.cpp's `LLAMA_FTYPE_*`).
    pub fn wire(self) -> u32 {
        self.row().2
    }

    /// The type that a tensor gets. `tied`: the model has no `output.weight`, `token_embd.weight` serves as both.
    /// 1-D tensors stay F32. In Q4_0…Q5_1 files the output matrix is Q6_K, where its rows are multiples of 256, else Q8_0.
    /// Rows that are no whole number of blocks make a tensor F16: [`fallback_note`](Self::fallback_note) tells.
    pub fn tensor_type(self, name: &str, shape: &[u64], tied: bool) -> TensorType {
        let wanted = self.wanted_type(name, shape, tied);
        let fits = |ty: &TensorType| shape.first().is_some_and(|&n_cols| ty.row_bytes(n_cols).is_some());
        let stand_in = if wanted == TensorType::Q6K { TensorType::Q8_0 } else { TensorType::F16 };
        [wanted, stand_in].into_iter().find(fits).unwrap_or(TensorType::F16)
    }

    /// What a tensor would get if its rows were of any length.
    fn wanted_type(self, name: &str, shape: &[u64], tied: bool) -> TensorType {
        let &Row(_, _, _, matrices, output) = self.row();
        if !Self::is_quantizable(name, shape) {
            TensorType::F32
        } else if name == if tied { "token_embd.weight" } else { "output.weight" } {
            output
        } else {
            matrices
        }
    }

    /// Whether a tensor is a matrix of the kind that a file's type is about. Norms and other vectors are not; nor are
    /// the routers of experts and the rotary factors, which are small and whose errors nothing averages away.
    pub fn is_quantizable(name: &str, shape: &[u64]) -> bool {
        const LEFT_ALONE: [&str; 3] = ["_norm.weight", "ffn_gate_inp.weight", "rope_freqs.weight"];
        shape.len() > 1 && name.ends_with(".weight") && !LEFT_ALONE.iter().any(|end| name.ends_with(end))
    }

    /// A sentence for the user where a tensor gets another type than the file's name promises, because its rows are
    /// no whole number of blocks.
    pub fn fallback_note(self, name: &str, shape: &[u64], tied: bool) -> Option<String> {
        let (wanted, got) = (self.wanted_type(name, shape, tied), self.tensor_type(name, shape, tied));
        (wanted != got).then(|| {
            let (n_cols, len) = (shape.first().copied().unwrap_or(0), wanted.block_len());
            format!("`{name}` becomes {got}: its rows of {n_cols} weights are no whole number of {wanted}'s blocks of {len}")
        })
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for FileType {
    type Err = UnknownFileType;

    fn from_str(name: &str) -> Result<Self, UnknownFileType> {
        Self::from_name(name)
    }
}

/// A name that is none of the types'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFileType(
    /// The name.
    pub String,
);

impl fmt::Display for UnknownFileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = FileType::all().map(FileType::name).collect();
        write!(f, "there is no file type `{}`; there are {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownFileType {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_llama_cpps() {
        let numbers = [
            ("f32", 0),
            ("f16", 1),
            ("bf16", 32),
            ("q8_0", 7),
            ("q5_1", 9),
            ("q5_0", 8),
            ("q4_1", 3),
            ("q4_0", 2),
        ];
        assert!(FileType::all().map(|ty| (ty.name(), ty.wire())).eq(numbers));
        for ty in FileType::all() {
            assert_eq!(FileType::from_name(&ty.name().to_uppercase()), Ok(ty));
            assert_eq!(ty.row().0, ty, "the table is in the order of the variants");
        }
        assert_eq!(
            "q3_x".parse::<FileType>().unwrap_err().to_string(),
            "there is no file type `q3_x`; there are f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0"
        );
    }

    #[test]
    fn every_tensor_gets_llama_cpps_type() {
        use FileType as F;
        use TensorType as T;
        let matrix = [4096, 4096];
        for (file, name, shape, tied, expected) in [
            (F::Q4_0, "blk.0.attn_q.weight", &matrix[..], false, T::Q4_0),
            (F::Q4_0, "blk.0.ffn_down_exps.weight", &[256, 64, 8], false, T::Q4_0),
            (F::Q4_0, "token_embd.weight", &matrix, false, T::Q4_0),
            (F::Q4_0, "token_embd.weight", &matrix, true, T::Q6K),
            (F::Q4_0, "output.weight", &matrix, false, T::Q6K),
            (F::Q4_1, "output.weight", &matrix, false, T::Q6K),
            (F::Q5_0, "output.weight", &matrix, false, T::Q6K),
            (F::Q5_1, "output.weight", &matrix, false, T::Q6K),
            (F::Q8_0, "output.weight", &matrix, false, T::Q8_0),
            (F::Bf16, "output.weight", &matrix, false, T::Bf16),
            (F::Q4_0, "output.weight", &[288, 9], false, T::Q8_0),
            (F::Q4_0, "output.weight", &[100, 9], false, T::F16),
            (F::Q4_0, "blk.0.attn_q.weight", &[100, 9], false, T::F16),
            (F::F16, "blk.0.attn_q.weight", &[100, 9], false, T::F16),
            (F::F32, "blk.0.attn_q.weight", &[100, 9], false, T::F32),
            (F::Q4_0, "output_norm.weight", &[4096], false, T::F32),
            (F::F16, "blk.0.attn_norm.weight", &[4096], false, T::F32),
            (F::Q4_0, "blk.0.attn_q_norm.weight", &[128, 32], false, T::F32),
            (F::Q4_0, "blk.0.ffn_gate_inp.weight", &[4096, 8], false, T::F32),
            (F::Q4_0, "rope_freqs.weight", &[64], false, T::F32),
            (F::Q4_0, "blk.0.attn_q.bias", &[4096], false, T::F32),
        ] {
            assert_eq!(file.tensor_type(name, shape, tied), expected, "{file} {name} {shape:?}");
        }
    }

    #[test]
    fn rows_that_are_no_whole_blocks_are_told() {
        assert_eq!(FileType::Q4_0.fallback_note("a.weight", &[64, 2], false), None);
        assert_eq!(
            FileType::Q4_0.fallback_note("a.weight", &[100, 2], false).as_deref(),
            Some(
                "`a.weight` becomes F16: its rows of 100 weights are no whole number of Q4_0's blocks of 32"
            )
        );
        assert!(
            FileType::Q4_0.fallback_note("output.weight", &[288, 2], false).unwrap().contains("becomes Q8_0")
        );
    }
}
