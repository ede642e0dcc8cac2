//! Keys and values: in the file's order, found by name.

#![forbid(unsafe_code)]

use crate::{Array, KeyError, Strings, Value};
use indexmap::IndexMap;

/// Keys and values in file order, each key once.
///
/// The getters return `None` for a key that is absent, and an error for one whose value is of another type; the value
/// is never guessed.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    entries: IndexMap<String, Value>,
}

impl Metadata {
    pub(crate) fn with_capacity(n_keys: usize) -> Self {
        Self { entries: IndexMap::with_capacity(n_keys) }
    }

    /// Sets a key, in place if it is there, else at the end.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        self.entries.insert(key.into(), value.into());
    }

    /// Removes a key; what it held. The others keep their order.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.entries.shift_remove(key)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// In file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An unsigned number: any integer type whose value is not negative. `None` if absent.
    pub fn uint(&self, key: &str) -> Result<Option<u64>, KeyError> {
        const EXPECTED: &str = "an unsigned integer";
        let signed = match self.get(key) {
            None => return Ok(None),
            Some(&Value::U8(number)) => return Ok(Some(number.into())),
            Some(&Value::U16(number)) => return Ok(Some(number.into())),
            Some(&Value::U32(number)) => return Ok(Some(number.into())),
            Some(&Value::U64(number)) => return Ok(Some(number)),
            Some(&Value::I8(number)) => i64::from(number),
            Some(&Value::I16(number)) => number.into(),
            Some(&Value::I32(number)) => number.into(),
            Some(&Value::I64(number)) => number,
            Some(other) => return Err(mismatch(key, other.type_name(), EXPECTED)),
        };
        u64::try_from(signed).map(Some).map_err(|_| mismatch(key, "a negative integer", EXPECTED))
    }

    /// A float: `F32` or `F64`.
    pub fn float(&self, key: &str) -> Result<Option<f32>, KeyError> {
        self.pick(key, "a float", |value| match *value {
            Value::F32(number) => Some(number),
            Value::F64(number) => Some(number as f32),
            _ => None,
        })
    }

    /// A bool.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, KeyError> {
        self.pick(key, "a bool", |value| if let Value::Bool(value) = *value { Some(value) } else { None })
    }

    /// A string that is UTF-8.
    pub fn str(&self, key: &str) -> Result<Option<&str>, KeyError> {
        const EXPECTED: &str = "a string of UTF-8";
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(bytes)) => match str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(mismatch(key, "a string of other bytes", EXPECTED)),
            },
            Some(other) => Err(mismatch(key, other.type_name(), EXPECTED)),
        }
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<Option<&Strings>, KeyError> {
        self.pick(key, "an array of string", |value| match value {
            Value::Array(Array::String(strings)) => Some(strings),
            _ => None,
        })
    }

    /// An array of `F32`.
    pub fn floats(&self, key: &str) -> Result<Option<&[f32]>, KeyError> {
        self.pick(key, "an array of f32", |value| match value {
            Value::Array(Array::F32(items)) => Some(items.as_slice()),
            _ => None,
        })
    }

    /// An array of `I32` (or `U32` whose values fit).
    pub fn ints(&self, key: &str) -> Result<Option<Vec<i32>>, KeyError> {
        self.pick(key, "an array of integers that fit i32", |value| match value {
            Value::Array(Array::I32(items)) => Some(items.clone()),
            Value::Array(Array::U32(items)) => items.iter().map(|&item| item.try_into().ok()).collect(),
            _ => None,
        })
    }

    /// What `pick` makes of the key's value; where it refuses, the value is of another type than expected.
    fn pick<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        pick: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, KeyError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        pick(value).map(Some).ok_or_else(|| mismatch(key, value.type_name(), expected))
    }
}

/// The order counts: it is the file's.
impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

fn mismatch(key: &str, found: &'static str, expected: &'static str) -> KeyError {
    KeyError::Type { key: key.into(), found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: impl Into<Value>) -> Metadata {
        let mut metadata = Metadata::default();
        metadata.set("k", value);
        metadata
    }

    fn found<T>(result: Result<Option<T>, KeyError>) -> &'static str {
        match result {
            Err(KeyError::Type { key, found, .. }) if key == "k" => found,
            _ => "nothing wrong",
        }
    }

    #[test]
    fn keys_keep_their_order() {
        let mut metadata = Metadata::default();
        for key in ["c", "a", "b", "a"] {
            metadata.set(key, key);
        }
        metadata.set("c", 1u32);
        assert_eq!(metadata.iter().map(|(key, _)| key).collect::<String>(), "cab");
        assert_eq!(metadata.remove("a"), Some("a".into()));
        assert_eq!(metadata.remove("a"), None);
        metadata.set("d", true);
        assert_eq!(metadata.iter().map(|(key, _)| key).collect::<String>(), "cbd");
        assert_eq!((metadata.get("b"), metadata.get("a")), (Some(&"b".into()), None));

        let mut other = Metadata::default();
        for key in ["b", "c", "d"] {
            other.set(key, metadata.get(key).unwrap().clone());
        }
        assert_ne!(metadata, other, "the same pairs in another order");
    }

    #[test]
    fn an_integer_may_have_any_type() {
        for value in [
            7u8.into(),
            7i8.into(),
            7u16.into(),
            7i16.into(),
            7u32.into(),
            7i32.into(),
            7u64.into(),
            7i64.into(),
        ] {
            let value: Value = value;
            assert_eq!(of(value.clone()).uint("k"), Ok(Some(7)), "{value:?}");
        }
        assert_eq!(found(of(-1i32).uint("k")), "a negative integer");
        assert_eq!(found(of(7f32).uint("k")), "f32");
    }

    #[test]
    fn absent_is_none_and_another_type_an_error() {
        let none = Metadata::default();
        assert_eq!(
            (none.uint("k"), none.float("k"), none.bool("k"), none.str("k")),
            (Ok(None), Ok(None), Ok(None), Ok(None))
        );
        assert_eq!((none.strings("k"), none.floats("k"), none.ints("k")), (Ok(None), Ok(None), Ok(None)));

        assert_eq!(of(0.5f64).float("k"), Ok(Some(0.5)));
        assert_eq!(found(of(1u32).float("k")), "u32");
        assert_eq!(of(true).bool("k"), Ok(Some(true)));
        assert_eq!(found(of(1u8).bool("k")), "u8");
        assert_eq!(of("é").str("k"), Ok(Some("é")));
        assert_eq!(found(of(Value::String(vec![0xff])).str("k")), "a string of other bytes");
        assert_eq!(found(of(vec![1u8]).str("k")), "array of u8");
        assert_eq!(found(of("a").strings("k")), "string");
        assert_eq!(of(vec![0.5f32]).floats("k"), Ok(Some(&[0.5f32][..])));
        assert_eq!(found(of(vec![0.5f64]).floats("k")), "array of f64");
        assert_eq!(of(vec![-1i32]).ints("k"), Ok(Some(vec![-1])));
        assert_eq!(of(vec![1u32]).ints("k"), Ok(Some(vec![1])));
        assert_eq!(found(of(vec![u32::MAX]).ints("k")), "array of u32");
    }

    #[test]
    fn a_mismatch_is_a_sentence() {
        let text = of("x").uint("k").unwrap_err().to_string();
        assert_eq!(text, "metadata key `k`: found string, expected an unsigned integer");
    }
}
