//! What happens to a text before it is merged, recognized among what GGUF has a name for. An unknown rule is refused: a
//! model whose text is cut otherwise than in its training answers worse and says nothing.

use super::json::{Rule, TokenizerJson};
use crate::Error;
use crate::json::brief;
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
    let unknown = |key: &str, Rule(rule): &Rule| {
        let problem = format!(
            "{} is no rule that llamita knows: it knows those of Llama 3, GPT-2 and Qwen 2; another one would cut text \
             where the model was not trained to",
            brief(rule)
        );
        Error::malformed(path, format_args!("key `{key}`"), problem)
    };
    // NFC composes characters: what people type is composed already.
    let Rule(normalizer) = &json.normalizer;
    if !normalizer.is_null() && normalizer["type"] != "NFC" {
        return Err(unknown("normalizer", &json.normalizer));
    }
    let rule = match steps(&json.pre_tokenizer.0, "pretokenizers") {
        [whole] if is_bytes(whole, true) => Some("gpt-2"),
        [cut, bytes] if is_bytes(bytes, false) && cut["type"] == "Split" && cut["behavior"] == "Isolated" => {
            let known = CUTS.iter().find(|(known, _)| cut["pattern"]["Regex"] == *known);
            known.map(|(_, name)| *name)
        }
        _ => None,
    };
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
    let unknown = |key: &str, Rule(rule): &Rule| {
        let problem = format!(
            "{} is not what SentencePiece does to text; with the model's tokenizer.model in the folder it is not needed",
            brief(rule)
        );
        Error::malformed(path, format_args!("key `{key}`"), problem)
    };
    let (Rule(normalizer), Rule(pre_tokenizer)) = (&json.normalizer, &json.pre_tokenizer);
    let is_mark = |step: &Value| {
        step["type"] == "Replace" && step["pattern"]["String"] == " " && step["content"] == MARK
    };
    if normalizer.is_null() {
        let is_known = pre_tokenizer["type"] == "Metaspace"
            && pre_tokenizer["replacement"] == MARK
            && pre_tokenizer["split"].as_bool() != Some(true);
        return match pre_tokenizer["prepend_scheme"].as_str() {
            _ if !is_known => Err(unknown("pre_tokenizer", &json.pre_tokenizer)),
            Some(scheme) => Ok(scheme != "never"),
            None => Ok(pre_tokenizer["add_prefix_space"].as_bool().unwrap_or(true)),
        };
    }
    if !pre_tokenizer.is_null() {
        return Err(unknown("pre_tokenizer", &json.pre_tokenizer));
    }
    match steps(normalizer, "normalizers") {
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
