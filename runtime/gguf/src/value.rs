//! The values that metadata holds.

#![forbid(unsafe_code)]

use crate::error::Shown;
use std::fmt;

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

/// The scalar types, for whatever must be said of each: `[variant, Rust type, number in a file, name]`. This list
/// stands nowhere else; strings (8) and arrays (9) are not scalars.
macro_rules! with_scalars {
    ($then:ident) => {
        $then! {
            [U8, u8, 0, "u8"] [I8, i8, 1, "i8"] [U16, u16, 2, "u16"] [I16, i16, 3, "i16"] [U32, u32, 4, "u32"]
            [I32, i32, 5, "i32"] [F32, f32, 6, "f32"] [Bool, bool, 7, "bool"] [U64, u64, 10, "u64"]
            [I64, i64, 11, "i64"] [F64, f64, 12, "f64"]
        }
    };
}
pub(crate) use with_scalars;

macro_rules! describe {
    ($([$variant:ident, $ty:ty, $wire:literal, $name:literal])*) => {
        impl Value {
            /// The type's name: `u32`, `string`, `array of f32`.
            pub fn type_name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                    Self::String(_) => "string",
                    Self::Array(array) => array.type_name(),
                }
            }
        }

        impl Array {
            /// The type's name: `array of f32`.
            pub fn type_name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => concat!("array of ", $name),)*
                    Self::String(_) => "array of string",
                }
            }

            /// How many elements.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(items) => items.len(),)*
                    Self::String(strings) => strings.len(),
                }
            }
        }

        $(
            impl From<$ty> for Value {
                fn from(value: $ty) -> Self {
                    Self::$variant(value)
                }
            }

            impl From<Vec<$ty>> for Value {
                fn from(items: Vec<$ty>) -> Self {
                    Self::Array(Array::$variant(items))
                }
            }
        )*

        /// Short, on one line: long strings and arrays are cut, and an array's length stands behind it.
        impl fmt::Display for Value {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(value) => write!(f, "{value}"),)*
                    Self::String(text) => write_string(f, text),
                    Self::Array(array) => match array {
                        $(Array::$variant(items) => write_list(f, items.iter(), |f, item| write!(f, "{item}")),)*
                        Array::String(strings) => write_list(f, strings.iter(), |f, text| write_string(f, text)),
                    },
                }
            }
        }
    };
}
with_scalars!(describe);

fn write_string(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    write!(f, "\"{}\"", Shown(&String::from_utf8_lossy(text)))
}

fn write_list<T>(
    f: &mut fmt::Formatter<'_>,
    items: impl ExactSizeIterator<Item = T>,
    write_item: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    const SHOWN_ITEMS: usize = 4;
    let len = items.len();
    f.write_str("[")?;
    for (index, item) in items.take(SHOWN_ITEMS).enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        write_item(f, item)?;
    }
    if len > SHOWN_ITEMS { write!(f, ", …] ({len} items)") } else { f.write_str("]") }
}

impl Array {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value.into_bytes())
    }
}

impl From<Strings> for Value {
    fn from(value: Strings) -> Self {
        Self::Array(Array::String(value))
    }
}

/// Many short strings in one allocation: a vocabulary has up to 300 000, and a vector for each would cost 24 bytes
/// and a block of the allocator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    bytes: Vec<u8>,
    /// Where each string ends; it begins where the one before it ends.
    ends: Vec<u32>,
}

impl Strings {
    /// Bytes of all strings together: what the ends can count.
    pub const MAX_BYTES: usize = u32::MAX as usize;

    pub(crate) fn with_capacity(n_strings: usize) -> Self {
        Self { bytes: Vec::new(), ends: Vec::with_capacity(n_strings) }
    }

    /// Appends one.
    ///
    /// # Panics
    /// If the strings would together exceed [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(u32::try_from(self.bytes.len()).expect("strings within Strings::MAX_BYTES"));
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all strings together.
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.bytes[start as usize..end as usize])
    }

    /// All, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index).expect("index below len"))
    }

    /// Gives back what growing has reserved.
    pub fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

impl<S: AsRef<[u8]>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut all = Self::default();
        strings.into_iter().for_each(|string| all.push(string.as_ref()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_in_order() {
        let strings: Strings = ["", "a", "", "bc", ""].into_iter().collect();
        assert_eq!(strings.iter().collect::<Vec<_>>(), [&b""[..], b"a", b"", b"bc", b""]);
        assert_eq!(
            (strings.len(), strings.n_bytes(), strings.get(3), strings.get(5)),
            (5, 3, Some(&b"bc"[..]), None)
        );
    }

    #[test]
    fn values_are_shown_short() {
        let cases: [(Value, &str, &str); 8] = [
            (7u8.into(), "u8", "7"),
            (1e-5f32.into(), "f32", "0.00001"),
            (true.into(), "bool", "true"),
            ("a\nb".into(), "string", "\"a\\nb\""),
            ("x".repeat(81).into(), "string", &format!("\"{}…\"", "x".repeat(80))),
            (vec![1i32, -2].into(), "array of i32", "[1, -2]"),
            (vec![0u64; 5].into(), "array of u64", "[0, 0, 0, 0, …] (5 items)"),
            (Strings::from_iter(["<s>", "\x07"]).into(), "array of string", "[\"<s>\", \"\\u{7}\"]"),
        ];
        for (value, type_name, text) in cases {
            assert_eq!((value.type_name(), value.to_string().as_str()), (type_name, text));
        }
    }
}
