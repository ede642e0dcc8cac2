//! The names that a whole file can be asked for by, and the numbers that stand for them in a file. Which type each tensor
//! gets under a name is [`mixture`](crate::mixture)'s matter.

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
    Q6K,
    Q5_1,
    Q5KM,
    Q5KS,
    Q5_0,
    Q4_1,
    Q4KM,
    Q4KS,
    Q4_0,
    Iq4Nl,
    Iq4Xs,
    Mxfp4Moe,
    Q3KL,
    Q3KM,
    Q3KS,
    Q2K,
    Q2KS,
    Tq2_0,
    Tq1_0,
}

/// A row of the table: the type, its name, its number in a file, what most of its matrices are.
struct Row(FileType, &'static str, u32, TensorType);

/// In the order of the variants. The numbers are llama.cpp's `LLAMA_FTYPE_*`.
const TABLE: [Row; 23] = {
    use TensorType as T;
    [
        Row(FileType::F32, "f32", 0, T::F32),
        Row(FileType::F16, "f16", 1, T::F16),
        Row(FileType::Bf16, "bf16", 32, T::Bf16),
        Row(FileType::Q8_0, "q8_0", 7, T::Q8_0),
        Row(FileType::Q6K, "q6_k", 18, T::Q6K),
        Row(FileType::Q5_1, "q5_1", 9, T::Q5_1),
        Row(FileType::Q5KM, "q5_k_m", 17, T::Q5K),
        Row(FileType::Q5KS, "q5_k_s", 16, T::Q5K),
        Row(FileType::Q5_0, "q5_0", 8, T::Q5_0),
        Row(FileType::Q4_1, "q4_1", 3, T::Q4_1),
        Row(FileType::Q4KM, "q4_k_m", 15, T::Q4K),
        Row(FileType::Q4KS, "q4_k_s", 14, T::Q4K),
        Row(FileType::Q4_0, "q4_0", 2, T::Q4_0),
        Row(FileType::Iq4Nl, "iq4_nl", 25, T::Iq4Nl),
        Row(FileType::Iq4Xs, "iq4_xs", 30, T::Iq4Xs),
        Row(FileType::Mxfp4Moe, "mxfp4_moe", 38, T::Mxfp4),
        Row(FileType::Q3KL, "q3_k_l", 13, T::Q3K),
        Row(FileType::Q3KM, "q3_k_m", 12, T::Q3K),
        Row(FileType::Q3KS, "q3_k_s", 11, T::Q3K),
        Row(FileType::Q2K, "q2_k", 10, T::Q2K),
        Row(FileType::Q2KS, "q2_k_s", 21, T::Q2K),
        Row(FileType::Tq2_0, "tq2_0", 37, T::Tq2_0),
        Row(FileType::Tq1_0, "tq1_0", 36, T::Tq1_0),
    ]
};

/// Other names that llama.cpp takes.
const ALIASES: [(&str, FileType); 3] =
    [("q5_k", FileType::Q5KM), ("q4_k", FileType::Q4KM), ("q3_k", FileType::Q3KM)];

impl FileType {
    /// All of them, the largest first.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// As the command line spells it: `q4_k_m`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Another name that means it: `q4_k`.
    pub fn alias(self) -> Option<&'static str> {
        ALIASES.iter().find(|(_, ty)| *ty == self).map(|(alias, _)| *alias)
    }

    /// The type of this name, in any case.
    pub fn from_name(name: &str) -> Result<Self, UnknownFileType> {
        let means = |ty: &Self| {
            [Some(ty.name()), ty.alias()].into_iter().flatten().any(|own| own.eq_ignore_ascii_case(name))
        };
        Self::all().find(means).ok_or_else(|| UnknownFileType(name.to_owned()))
    }

    /// The number under `general.file_type` (llama.cpp's `LLAMA_FTYPE_*`).
    pub fn wire(self) -> u32 {
        self.row().2
    }

    /// The type of most of its matrices.
    pub fn matrices(self) -> TensorType {
        self.row().3
    }

    /// Whether a tensor is a matrix of the kind that a file's type is about. Norms and other vectors are not; nor are
    /// the routers of experts and the rotary factors, which are small and whose errors nothing averages away.
    pub fn is_quantizable(name: &str, shape: &[u64]) -> bool {
        const LEFT_ALONE: [&str; 3] = ["_norm.weight", "ffn_gate_inp.weight", "rope_freqs.weight"];
        shape.len() > 1 && name.ends_with(".weight") && !LEFT_ALONE.iter().any(|end| name.ends_with(end))
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
    fn every_name_leads_to_its_type() {
        for ty in FileType::all() {
            assert_eq!(FileType::from_name(&ty.name().to_uppercase()), Ok(ty));
            assert_eq!(ty.row().0, ty, "the table is in the order of the variants");
            assert_eq!(FileType::all().filter(|other| other.wire() == ty.wire()).count(), 1, "{ty}");
        }
        for (alias, name) in [("Q3_K", "q3_k_m"), ("q4_k", "q4_k_m"), ("q5_k", "q5_k_m")] {
            assert_eq!(FileType::from_name(alias).map(FileType::name), Ok(name));
        }
        let error = "q3_x".parse::<FileType>().unwrap_err().to_string();
        assert!(
            error.starts_with("there is no file type `q3_x`; there are f32, f16, bf16, q8_0, q6_k"),
            "{error}"
        );
    }
}
