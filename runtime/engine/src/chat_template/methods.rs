//! Methods of Python's strings and dictionaries that templates call and Jinja itself does not have.

use minijinja::value::{ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};

/// What one step of fuel pays for.
const BYTES_PER_FUEL: u64 = 64;

/// Calls `value.method(args)`.
pub(super) fn call(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        state.consume_fuel(1 + text.len() as u64 / BYTES_PER_FUEL)?;
        of_string(state, value, text, method, args)
    } else if value.kind() == ValueKind::Map {
        of_dictionary(state, value, method, args)
    } else {
        Err(ErrorKind::UnknownMethod.into())
    }
}

fn of_string(
    state: &mut State,
    value: &Value,
    text: &str,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match method {
        "strip" | "lstrip" | "rstrip" => {
            let (characters,): (Option<&str>,) = from_args(args)?;
            // Python takes a set of characters, white space if there is none.
            let is_stripped =
                |c: char| characters.map_or_else(|| c.is_whitespace(), |characters| characters.contains(c));
            Ok(Value::from(match method {
                "strip" => text.trim_matches(is_stripped),
                "lstrip" => text.trim_start_matches(is_stripped),
                _ => text.trim_end_matches(is_stripped),
            }))
        }
        "startswith" => Ok(any_of(args, |prefix| text.starts_with(prefix))?.into()),
        "endswith" => Ok(any_of(args, |suffix| text.ends_with(suffix))?.into()),
        // The filters of these names do the same.
        "split" | "replace" | "upper" | "lower" | "title" | "capitalize" => {
            let arguments: Vec<Value> = std::iter::once(value).chain(args).cloned().collect();
            state.apply_filter(method, &arguments)
        }
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

/// Python takes one string or several.
fn any_of(args: &[Value], holds: impl Fn(&str) -> bool) -> Result<bool, Error> {
    let (one_or_more,): (&Value,) = from_args(args)?;
    if let Some(one) = one_or_more.as_str() {
        return Ok(holds(one));
    }
    Ok(one_or_more.try_iter()?.any(|one| one.as_str().is_some_and(&holds)))
}

fn of_dictionary(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "get" => {
            let (key, default): (&Value, Option<Value>) = from_args(args)?;
            let found = value.get_item(key)?;
            Ok(if found.is_undefined() { default.unwrap_or_else(|| Value::from(())) } else { found })
        }
        "items" | "keys" | "values" => {
            let () = from_args(args)?;
            match method {
                "items" => state.apply_filter("items", std::slice::from_ref(value)),
                "keys" => state.apply_filter("list", std::slice::from_ref(value)),
                _ => {
                    state.consume_fuel(value.len().unwrap_or(0) as u64)?;
                    value.try_iter()?.map(|key| value.get_item(&key)).collect()
                }
            }
        }
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}
