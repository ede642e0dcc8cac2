//! Metadata values as JSON, long ones shortened.

use crate::terminal::visible;
use gguf::Array;
use serde_json::{Value, json};

/// Elements of an array that are shown: a vocabulary has up to 300 000.
const MAX_ELEMENTS: usize = 8;
/// Characters of a string that are shown on a line: a chat template has thousands.
const MAX_CHARS: usize = 100;

/// A value; of an array, its length and its first elements.
pub(super) fn short(value: &gguf::Value) -> Value {
    use gguf::Value as V;
    match value {
        V::U8(n) => json!(n),
        V::I8(n) => json!(n),
        V::U16(n) => json!(n),
        V::I16(n) => json!(n),
        V::U32(n) => json!(n),
        V::I32(n) => json!(n),
        V::U64(n) => json!(n),
        V::I64(n) => json!(n),
        V::F32(n) => float(*n),
        V::F64(n) => json!(n),
        V::Bool(b) => json!(b),
        V::String(bytes) => text(bytes),
        V::Array(array) => short_array(array),
    }
}

fn short_array(array: &Array) -> Value {
    match array {
        Array::U8(all) => first("u8", all.len(), all.iter().map(|n| json!(n))),
        Array::I8(all) => first("i8", all.len(), all.iter().map(|n| json!(n))),
        Array::U16(all) => first("u16", all.len(), all.iter().map(|n| json!(n))),
        Array::I16(all) => first("i16", all.len(), all.iter().map(|n| json!(n))),
        Array::U32(all) => first("u32", all.len(), all.iter().map(|n| json!(n))),
        Array::I32(all) => first("i32", all.len(), all.iter().map(|n| json!(n))),
        Array::U64(all) => first("u64", all.len(), all.iter().map(|n| json!(n))),
        Array::I64(all) => first("i64", all.len(), all.iter().map(|n| json!(n))),
        Array::F32(all) => first("f32", all.len(), all.iter().map(|n| float(*n))),
        Array::F64(all) => first("f64", all.len(), all.iter().map(|n| json!(n))),
        Array::Bool(all) => first("bool", all.len(), all.iter().map(|b| json!(b))),
        Array::String(all) => first("string", all.len(), all.iter().map(text)),
    }
}

fn first(ty: &str, len: usize, elements: impl Iterator<Item = Value>) -> Value {
    json!({ "array": ty, "len": len, "first": elements.take(MAX_ELEMENTS).collect::<Vec<_>>() })
}

/// By way of its shortest decimal form: 0.1 stays 0.1 and does not become 0.10000000149011612.
fn float(n: f32) -> Value {
    json!(n.to_string().parse::<f64>().ok().filter(|n| n.is_finite()))
}

fn text(bytes: &[u8]) -> Value {
    json!(String::from_utf8_lossy(bytes))
}

/// A value of [`short`] on one line.
pub(super) fn line(value: &Value) -> String {
    match value {
        Value::String(text) => string_line(text),
        Value::Object(array) => {
            let part = |key: &str| array.get(key).cloned().unwrap_or_default();
            let first = part("first");
            let shown: Vec<String> = first.as_array().into_iter().flatten().map(line).collect();
            let ty = part("array");
            let more = if part("len").as_u64() > Some(shown.len() as u64) { ", …" } else { "" };
            format!("{} × {}: [{}{more}]", part("len"), ty.as_str().unwrap_or_default(), shown.join(", "))
        }
        other => other.to_string(),
    }
}

fn string_line(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        None => format!("\"{}\"", visible(text)),
        Some((end, _)) => format!("\"{}…\" ({} bytes)", visible(&text[..end]), text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguf::{Strings, Value as V};

    #[test]
    fn values_take_one_line() {
        let mut strings = Strings::default();
        for token in ["<s>", "\u{1b}[0m", "a\nb"] {
            strings.push(token.as_bytes());
        }
        for (value, text) in [
            (V::U64(u64::MAX), "18446744073709551615"),
            (V::I8(-3), "-3"),
            (V::F32(1e-5), "0.00001"),
            (V::F32(10000.0), "10000.0"),
            (V::F32(f32::NAN), "null"),
            (V::Bool(true), "true"),
            (V::from("two\nlines"), "\"two\\nlines\""),
            (V::String(vec![0xff, b'a']), "\"\u{fffd}a\""),
            (V::from(vec![1u32, 2, 3]), "3 × u32: [1, 2, 3]"),
            (V::from((0..300_000).collect::<Vec<i32>>()), "300000 × i32: [0, 1, 2, 3, 4, 5, 6, 7, …]"),
            (V::from(strings), "3 × string: [\"<s>\", \"\\u{1b}[0m\", \"a\\nb\"]"),
        ] {
            assert_eq!(line(&short(&value)), text, "{value:?}");
        }
        let long = line(&short(&V::from("é".repeat(150).as_str())));
        assert_eq!(long, format!("\"{}…\" (300 bytes)", "é".repeat(100)));
    }
}
