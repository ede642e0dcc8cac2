//! Keys and values.

use crate::KeyError;

/// A metadata value. Strings are bytes: most are UTF-8, tokens need not be.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are GGUF's")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(Vec<u8>),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// A metadata array. Arrays of arrays are refused: no known key has one.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are GGUF's")]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    String(Strings),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

/// Many short strings in one allocation: a vocabulary has up to 300 000.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Strings {
    /// Appends one.
    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.bytes[start..end])
    }

    /// All, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index).expect("index below len"))
    }
}

/// Keys and values in file order, each key once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
}

impl Metadata {
    /// Sets a key, in place if it is there, else at the end.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let _ = (key.into(), value.into());
        todo!()
    }

    /// Removes a key; what it held.
    pub fn remove(&mut self, _key: &str) -> Option<Value> {
        todo!()
    }

    /// The value of a key.
    pub fn get(&self, _key: &str) -> Option<&Value> {
        todo!()
    }

    /// In file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// An unsigned number: any integer type whose value is not negative. `None` if absent.
    pub fn uint(&self, _key: &str) -> Result<Option<u64>, KeyError> {
        todo!()
    }

    /// A float: `F32` or `F64`.
    pub fn float(&self, _key: &str) -> Result<Option<f32>, KeyError> {
        todo!()
    }

    /// A bool.
    pub fn bool(&self, _key: &str) -> Result<Option<bool>, KeyError> {
        todo!()
    }

    /// A string that is UTF-8.
    pub fn str(&self, _key: &str) -> Result<Option<&str>, KeyError> {
        todo!()
    }

    /// An array of strings.
    pub fn strings(&self, _key: &str) -> Result<Option<&Strings>, KeyError> {
        todo!()
    }

    /// An array of `F32`.
    pub fn floats(&self, _key: &str) -> Result<Option<&[f32]>, KeyError> {
        todo!()
    }

    /// An array of `I32` (or `U32` whose values fit).
    pub fn ints(&self, _key: &str) -> Result<Option<Vec<i32>>, KeyError> {
        todo!()
    }
}

macro_rules! value_from {
    ($($variant:ident $ty:ty),*) => {$(
        impl From<$ty> for Value {
            fn from(value: $ty) -> Self { Self::$variant(value) }
        }
        impl From<Vec<$ty>> for Value {
            fn from(value: Vec<$ty>) -> Self { Self::Array(Array::$variant(value)) }
        }
    )*};
}
value_from!(U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, F32 f32, Bool bool, U64 u64, I64 i64, F64 f64);

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.as_bytes().to_vec())
    }
}

impl From<Strings> for Value {
    fn from(value: Strings) -> Self {
        Self::Array(Array::String(value))
    }
}
