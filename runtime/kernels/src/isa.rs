//! Which instructions this processor has: a value that is detected once and handed down.

/// An instruction set level. Its variants cannot be forged: they carry a token that only detection makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isa {
    /// The specification.
    Scalar,
}

impl Isa {
    /// The best level of this processor.
    pub fn detect() -> Self {
        Self::Scalar
    }

    /// Every level that this processor has, the scalar first.
    pub fn available() -> Vec<Self> {
        vec![Self::Scalar]
    }

    /// The names of all levels of this build, whether this processor has them or not.
    pub fn names() -> &'static [&'static str] {
        &["scalar"]
    }

    /// As `--isa` spells it.
    pub fn name(self) -> &'static str {
        "scalar"
    }
}
