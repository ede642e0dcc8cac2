//! What a file of a name holds: which type each tensor gets.

use blocks::TensorType;

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

impl FileType {
    /// All of them, the largest first.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        [].into_iter()
    }

    /// As the command line spells it: `q4_0`.
    pub fn name(self) -> &'static str {
        todo!()
    }

    /// The number under `general.file_type` (llama.cpp's `LLAMA_FTYPE_*`).
    pub fn wire(self) -> u32 {
        todo!()
    }

    /// The type that a tensor gets. `tied`: the model has no `output.weight`, `token_embd.weight` serves as both.
    /// 1-D tensors stay F32. In Q4_0…Q5_1 files the output matrix is Q6_K, where its rows are multiples of 256, else Q8_0.
    pub fn tensor_type(self, _name: &str, _shape: &[u64], _tied: bool) -> TensorType {
        todo!()
    }
}
