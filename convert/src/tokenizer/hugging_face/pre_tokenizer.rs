//! What happens to a text before it is merged, recognized among what GGUF has a name for. An unknown rule is refused: a
//! model whose text is cut otherwise than in its training answers worse and says nothing.

use super::json::TokenizerJson;
use crate::Error;
use serde_json::Value;
use std::path::Path;

/// Regular expressions by which text is cut, and GGUF's names.
const CUTS: [(&str, &str); 2] = [
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "llama-bpe",
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "qwen2",
    ),
];

/// SentencePiece's mark for a space.
const MARK: &str = "▁";

/// GGUF's name of the rule of a byte-level tokenizer.
pub(super) fn recognize(json: &TokenizerJson, path: &Path) -> Result<&'static str, Error> {
    let unknown = |key: &str, value: &Option<Value>| {
        let value = value.as_ref().map_or("null".into(), crate::json::brief);
        let problem = format!(
            "{value} is no rule that llamita knows: it knows those of Llama 3, GPT-2 and Qwen 2; another one would cut \
             text where the model was not trained to"
        );
        Error::malformed(path, format_args!("key `{key}`"), problem)
    };
    // Composed characters: what people type is that already.
    if json.normalizer.as_ref().is_some_and(|normalizer| !normalizer.is_null() && normalizer["type"] != "NFC")
    {
        return Err(unknown("normalizer", &json.normalizer));
    }
    let rule = json.pre_tokenizer.as_ref().and_then(|rule| match steps(rule, "pretokenizers") {
        [whole] if is_bytes(whole, true) => Some("gpt-2"),
        [cut, bytes] if is_bytes(bytes, false) && cut["type"] == "Split" && cut["behavior"] == "Isolated" => {
            let regex = cut["pattern"]["Regex"].as_str()?;
            CUTS.iter().find(|(known, _)| *known == regex).map(|(_, name)| *name)
        }
        _ => None,
    });
    rule.ok_or_else(|| unknown("pre_tokenizer", &json.pre_tokenizer))
}

/// Whether a step spells text in letters for bytes, and cuts it by GPT-2's rule or leaves it whole.
fn is_bytes(step: &Value, cuts: bool) -> bool {
    // Old files do not say it, and cut.
    let step_cuts = step["use_regex"].as_bool().unwrap_or(true);
    step["type"] == "ByteLevel" && step["add_prefix_space"].as_bool() != Some(true) && step_cuts == cuts
}

/// Whether a tokenizer of SentencePiece's kind puts a space before a text. It is said by a normalizer, or by a
/// pre-tokenizer in its place.
pub(super) fn adds_space(json: &TokenizerJson, path: &Path) -> Result<bool, Error> {
    let unknown = |key: &str, value: &Option<Value>| {
        let value = value.as_ref().map_or("null".into(), crate::json::brief);
        let problem = format!(
            "{value} is not what SentencePiece does to text; with the model's tokenizer.model in the \
             folder it is not needed"
        );
        Error::malformed(path, format_args!("key `{key}`"), problem)
    };
    let is_absent = |value: &Option<Value>| value.as_ref().is_none_or(Value::is_null);
    if is_absent(&json.normalizer) {
        let Some(rule) = json.pre_tokenizer.as_ref().filter(|rule| rule["type"] == "Metaspace") else {
            return Err(unknown("pre_tokenizer", &json.pre_tokenizer));
        };
        if rule["replacement"] != MARK || rule["split"].as_bool() == Some(true) {
            return Err(unknown("pre_tokenizer", &json.pre_tokenizer));
        }
        return Ok(match rule["prepend_scheme"].as_str() {
            Some(scheme) => scheme != "never",
            None => rule["add_prefix_space"].as_bool().unwrap_or(true),
        });
    }
    if !is_absent(&json.pre_tokenizer) {
        return Err(unknown("pre_tokenizer", &json.pre_tokenizer));
    }
    let is_mark = |step: &Value| {
        step["type"] == "Replace" && step["pattern"]["String"] == " " && step["content"] == MARK
    };
    let steps = json.normalizer.as_ref().map_or(&[][..], |rule| steps(rule, "normalizers"));
    match steps {
        [first, mark] if first["type"] == "Prepend" && first["prepend"] == MARK && is_mark(mark) => Ok(true),
        [mark] if is_mark(mark) => Ok(false),
        _ => Err(unknown("normalizer", &json.normalizer)),
    }
}

/// The steps of a rule: those of a sequence, or itself alone.
pub(super) fn steps<'v>(rule: &'v Value, key: &str) -> &'v [Value] {
    match rule[key].as_array() {
        Some(steps) if rule["type"] == "Sequence" => steps,
        _ => std::slice::from_ref(rule),
    }
}
