//! What was asked for: a file of a name, and the tensors that are to be otherwise.

use crate::mixture::{self, Category, Tensor};
use crate::{Architecture, Error, FileType};
use blocks::{TensorType, with_block};
use regex_lite::Regex;
use std::fmt;
use std::str::FromStr;

/// Which type each tensor shall get.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The mixture.
    pub file_type: FileType,
    /// Every matrix gets the type that most have; no mixture.
    pub pure: bool,
    /// Matrices that get a type of their own; the first pin that fits counts.
    pub pins: Vec<Pin>,
    /// The type of the output matrix, or of the embedding that serves as both.
    pub output_type: Option<TensorType>,
    /// The type of the embedding.
    pub token_embedding_type: Option<TensorType>,
    /// The output matrix, or the embedding that serves as both, stays as it is.
    pub leave_output: bool,
}

impl From<FileType> for Recipe {
    fn from(file_type: FileType) -> Self {
        Self::new(file_type)
    }
}

impl Recipe {
    /// The mixture of this name as it is.
    pub const fn new(file_type: FileType) -> Self {
        Self {
            file_type,
            pure: false,
            pins: Vec::new(),
            output_type: None,
            token_embedding_type: None,
            leave_output: false,
        }
    }

    /// The type that each tensor would get if rows were of any length; none for what is no matrix.
    ///
    /// # Errors
    /// If a pin fits no matrix.
    pub(crate) fn types(
        &self,
        model: &Architecture,
        has_imatrix: bool,
        tensors: &[Tensor<'_>],
    ) -> Result<Vec<Option<TensorType>>, Error> {
        let tied = mixture::is_tied(tensors);
        let mut types = mixture::types(self.file_type, model, has_imatrix, tensors);
        for (ty, tensor) in types.iter_mut().zip(tensors) {
            let Some(ty) = ty else { continue };
            if self.pure {
                *ty = self.file_type.matrices();
            }
            *ty = self.pinned(tensor, tied).unwrap_or(*ty);
        }
        self.check_pins(tensors)?;
        Ok(types)
    }

    /// Whether every pin fits a matrix.
    ///
    /// # Errors
    /// If one does not.
    pub(crate) fn check_pins(&self, tensors: &[Tensor<'_>]) -> Result<(), Error> {
        let is_used =
            |pin: &&Pin| tensors.iter().any(|tensor| tensor.is_quantizable() && pin.fits(tensor.name));
        match self.pins.iter().find(|pin| !is_used(pin)) {
            Some(pin) => Err(Error::UnusedPin { pin: pin.to_string() }),
            None => Ok(()),
        }
    }

    /// What was asked for this matrix by name.
    pub(crate) fn pinned(&self, tensor: &Tensor<'_>, tied: bool) -> Option<TensorType> {
        let is_output = Category::of(tensor.name, tied) == Category::Output;
        let left = (self.leave_output && is_output).then_some(tensor.ty);
        let embedding = self.token_embedding_type.filter(|_| tensor.name == "token_embd.weight");
        let output = self.output_type.filter(|_| is_output);
        let pin = || self.pins.iter().find(|pin| pin.fits(tensor.name)).map(|pin| pin.ty);
        left.or(embedding).or(output).or_else(pin)
    }
}

/// Matrices whose name a pattern is found in, and their type.
#[derive(Clone, Debug)]
pub struct Pin {
    regex: Regex,
    ty: TensorType,
}

impl Pin {
    fn fits(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

impl FromStr for Pin {
    type Err = String;

    /// `REGEX=TYPE`: `ffn_down=q6_k`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (pattern, ty) = text
            .rsplit_once('=')
            .filter(|(pattern, _)| !pattern.is_empty())
            .ok_or("it must be REGEX=TYPE, such as ffn_down=q6_k")?;
        let regex =
            Regex::new(pattern).map_err(|error| format!("`{pattern}` is no regular expression: {error}"))?;
        Ok(Self { regex, ty: encodable(ty)? })
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.regex, self.ty.name().to_lowercase())
    }
}

/// The type of this name, in any case, if llamita can write it.
///
/// # Errors
/// A sentence that names those that it can write.
pub fn encodable(name: &str) -> Result<TensorType, String> {
    let writes = |ty: &TensorType| with_block!(*ty, _B => true, else false);
    TensorType::from_name(name).filter(writes).ok_or_else(|| {
        let names: Vec<_> = TensorType::all().filter(writes).map(|ty| ty.name().to_lowercase()).collect();
        format!("`{name}` is no type that llamita writes; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_a_pattern_and_a_type() {
        let pin: Pin = r"blk\.[0-3]\..*_(v|k)=Q8_0".parse().unwrap();
        assert!(pin.fits("blk.3.attn_v.weight") && !pin.fits("blk.13.attn_v.weight"));
        assert_eq!(pin.to_string(), r"blk\.[0-3]\..*_(v|k)=q8_0");
        for (text, expected) in [
            ("ffn_down", "it must be REGEX=TYPE"),
            ("=q8_0", "it must be REGEX=TYPE"),
            ("a=q9", "`q9` is no type that llamita writes; there are f32, f16, q4_0"),
            ("a=iq1_s", "`iq1_s` is no type that llamita writes"),
            ("a(=q8_0", "`a(` is no regular expression"),
        ] {
            let error = text.parse::<Pin>().unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
