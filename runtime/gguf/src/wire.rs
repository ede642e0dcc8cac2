//! Values to bytes and back.

#![forbid(unsafe_code)]

use crate::cursor::Cursor;
use crate::error::Problem;
use crate::value::with_scalars;
use crate::{Array, Strings, Value};
use std::fmt::Display;

/// The number of a string in a file; the scalars' are in their list.
const STRING: u32 = 8;
/// The number of an array.
const ARRAY: u32 = 9;
/// Strings that are reserved before the first is read; beyond them the vector grows with what is really there. A
/// declared count proves little: it is only below the rest of a file that may have gigabytes of weights.
const RESERVED_STRINGS: usize = 1 << 16;

/// A scalar as it lies in a file.
trait Scalar: Copy {
    const N_BYTES: usize;
    /// From `N_BYTES` bytes; `None` if they stand for nothing.
    fn decode(bytes: &[u8]) -> Option<Self>;
    fn encode(self, out: &mut Vec<u8>);
}

macro_rules! number {
    ($($ty:ty)*) => {$(
        impl Scalar for $ty {
            const N_BYTES: usize = size_of::<$ty>();

            fn decode(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_le_bytes)
            }

            fn encode(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
number!(u8 i8 u16 i16 u32 i32 f32 u64 i64 f64);

impl Scalar for bool {
    const N_BYTES: usize = 1;

    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.push(self.into());
    }
}

macro_rules! codec {
    ($([$variant:ident, $ty:ty, $wire:literal, $name:literal])*) => {
        /// The value that stands at the cursor: its type's number, then itself.
        pub(crate) fn read(cursor: &mut Cursor<'_>, field: &dyn Display) -> Result<Value, Problem> {
            let at = cursor.offset();
            match cursor.u32(field)? {
                $($wire => scalar::<$ty>(cursor, field).map(Value::$variant),)*
                STRING => cursor.string(field).map(|bytes| Value::String(bytes.to_vec())),
                ARRAY => read_array(cursor, field).map(Value::Array),
                wire => Err(unknown(at, field, wire)),
            }
        }

        fn read_array(cursor: &mut Cursor<'_>, field: &dyn Display) -> Result<Array, Problem> {
            let at = cursor.offset();
            match cursor.u32(field)? {
                $($wire => scalars::<$ty>(cursor, field).map(Array::$variant),)*
                STRING => strings(cursor, field).map(Array::String),
                ARRAY => Err(Problem::at(at, field, "it is an array of arrays, which no known key holds")),
                wire => Err(unknown(at, field, wire)),
            }
        }

        /// Appends a value as [`read`] reads it.
        pub(crate) fn write(value: &Value, out: &mut Vec<u8>) {
            match value {
                $(Value::$variant(value) => {
                    u32::encode($wire, out);
                    value.encode(out);
                })*
                Value::String(bytes) => {
                    STRING.encode(out);
                    write_string(bytes, out);
                }
                Value::Array(array) => {
                    ARRAY.encode(out);
                    write_array(array, out);
                }
            }
        }

        fn write_array(array: &Array, out: &mut Vec<u8>) {
            let n_items = array.len() as u64;
            match array {
                $(Array::$variant(items) => {
                    u32::encode($wire, out);
                    n_items.encode(out);
                    items.iter().for_each(|item| item.encode(out));
                })*
                Array::String(strings) => {
                    STRING.encode(out);
                    n_items.encode(out);
                    strings.iter().for_each(|string| write_string(string, out));
                }
            }
        }
    };
}
with_scalars!(codec);

/// Appends a length and the bytes.
pub(crate) fn write_string(string: &[u8], out: &mut Vec<u8>) {
    (string.len() as u64).encode(out);
    out.extend_from_slice(string);
}

fn scalar<T: Scalar>(cursor: &mut Cursor<'_>, field: &dyn Display) -> Result<T, Problem> {
    let at = cursor.offset();
    let bytes = cursor.take(T::N_BYTES as u64, field)?;
    T::decode(bytes).ok_or_else(|| no_bool(at, field, bytes))
}

fn scalars<T: Scalar>(cursor: &mut Cursor<'_>, field: &dyn Display) -> Result<Vec<T>, Problem> {
    let n_bytes = T::N_BYTES;
    let n_items = cursor.count(field, n_bytes as u64, u64::MAX)?;
    let at = cursor.offset();
    // `count` has compared the product with the bytes that are left.
    let bytes = cursor.take((n_items * n_bytes) as u64, field)?;
    let mut items = Vec::with_capacity(n_items);
    for (index, bytes) in bytes.chunks_exact(n_bytes).enumerate() {
        let item = T::decode(bytes).ok_or_else(|| no_bool(at + (index * n_bytes) as u64, field, bytes))?;
        items.push(item);
    }
    Ok(items)
}

fn strings(cursor: &mut Cursor<'_>, field: &dyn Display) -> Result<Strings, Problem> {
    let n_items = cursor.count(field, size_of::<u64>() as u64, u64::MAX)?;
    let mut strings = Strings::with_capacity(n_items.min(RESERVED_STRINGS));
    for _ in 0..n_items {
        let at = cursor.offset();
        let string = cursor.string(field)?;
        if string.len() > Strings::MAX_BYTES - strings.n_bytes() {
            return Err(Problem::at(at, field, "its strings are together longer than 4 GiB"));
        }
        strings.push(string);
    }
    strings.shrink_to_fit();
    Ok(strings)
}

fn no_bool(at: u64, field: &dyn Display, bytes: &[u8]) -> Problem {
    Problem::at(at, field, format!("a bool is 0 or 1, not {}: the file is damaged", bytes[0]))
}

fn unknown(at: u64, field: &dyn Display, wire: u32) -> Problem {
    Problem::at(at, field, format!("unknown value type {wire}: the file is damaged, or of a later kind"))
}
