//! JSON objects whose keys are looked up one by one, with a sentence for each that is not what it should be.

use crate::{Error, foreign, input};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

/// An object's members.
pub(crate) type Members = Map<String, Value>;

/// A whole file of at most `max_bytes` as a `T`. `what` it should be is for the sentence.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, max_bytes: u64, what: &str) -> Result<T, Error> {
    let text = input::read_small(path, max_bytes)?;
    if let Some(problem) = foreign::failed_download(&text) {
        return Err(Error::unfit(path, problem));
    }
    parse(&text).map_err(|(line, column, problem)| {
        let place = format_args!("line {line}, column {column}").to_string();
        Error::malformed(path, place, format_args!("this is no {what}: {problem}"))
    })
}

/// A text as a `T`, or the line, the column and what is wrong there.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, (usize, usize, String)> {
    serde_json::from_slice(text).map_err(|error| {
        let problem = error.to_string();
        let problem = problem.rsplit_once(" at line").map_or(&*problem, |(problem, _)| problem);
        (error.line(), error.column(), brief_problem(problem))
    })
}

/// serde quotes what it found, however long it is: the beginning and the end stay, where it says what it expected.
fn brief_problem(problem: &str) -> String {
    const KEPT_CHARS: usize = 80;
    let escaped: Vec<char> = problem.escape_debug().collect();
    match escaped.len() > 2 * KEPT_CHARS {
        true => {
            let (start, end) = (&escaped[..KEPT_CHARS], &escaped[escaped.len() - KEPT_CHARS..]);
            start.iter().chain(['…'].iter()).chain(end).collect()
        }
        false => escaped.into_iter().collect(),
    }
}

/// The keys of an object of a file.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    /// The file.
    pub(crate) path: &'a Path,
    /// The key that the object stands under, if it is not the file's own.
    pub(crate) parent: Option<&'a str>,
    /// The object.
    pub(crate) members: &'a Members,
}

impl<'a> Keys<'a> {
    /// Of a file's own object.
    pub(crate) fn new(path: &'a Path, members: &'a Members) -> Self {
        Self { path, parent: None, members }
    }

    /// What is wrong with a key.
    pub(crate) fn fault(&self, key: &str, problem: impl fmt::Display) -> Error {
        match self.parent {
            Some(parent) => Error::malformed(self.path, format_args!("key `{parent}.{key}`"), problem),
            None => Error::malformed(self.path, format_args!("key `{key}`"), problem),
        }
    }

    /// A value that is neither absent nor null.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.members.get(key).filter(|value| !value.is_null())
    }

    /// The value, if `pick` takes it; else a sentence that says what it should be.
    fn pick<T>(
        &self,
        key: &str,
        expected: impl fmt::Display,
        pick: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        pick(value).map(Some).ok_or_else(|| self.fault(key, format_args!("{} is {expected}", brief(value))))
    }

    /// A whole number from 1 to `max`.
    pub(crate) fn count(&self, key: &str, max: u64) -> Result<Option<u64>, Error> {
        let is_one = |n: &u64| (1..=max).contains(n);
        self.pick(key, format_args!("no whole number from 1 to {max}"), |value| value.as_u64().filter(is_one))
    }

    /// The same, which has to be there.
    pub(crate) fn required(&self, key: &str, max: u64) -> Result<u64, Error> {
        self.count(key, max)?.ok_or_else(|| self.missing(key))
    }

    /// Absent is `false`.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, Error> {
        Ok(self.pick(key, "neither true nor false", Value::as_bool)?.unwrap_or(false))
    }

    /// A number in a range.
    pub(crate) fn float(&self, key: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, Error> {
        let expected = format!("no number from {:e} to {:e}", range.start(), range.end());
        self.pick(key, expected, |value| value.as_f64().filter(|x| range.contains(x)))
    }

    /// The same, which has to be there.
    pub(crate) fn required_float(&self, key: &str, range: RangeInclusive<f64>) -> Result<f64, Error> {
        self.float(key, range)?.ok_or_else(|| self.missing(key))
    }

    /// A string.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.pick(key, "no string", Value::as_str)
    }

    /// An object.
    pub(crate) fn object(&self, key: &'a str) -> Result<Option<Keys<'a>>, Error> {
        let members = self.pick(key, "no object", Value::as_object)?;
        Ok(members.map(|members| Keys { path: self.path, parent: Some(key), members }))
    }

    fn missing(&self, key: &str) -> Error {
        self.fault(key, "it is missing")
    }
}

/// A value short enough for a sentence. JSON itself escapes some control characters, but not those from DEL on.
pub(crate) fn brief(value: &Value) -> String {
    let text = value.to_string();
    let mut chars = text.chars();
    let mut brief = String::new();
    for c in chars.by_ref().take(40) {
        if c.is_control() { brief.extend(c.escape_default()) } else { brief.push(c) }
    }
    if chars.next().is_some() {
        brief.push('…');
    }
    brief
}
