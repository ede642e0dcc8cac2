//! Each way in which a Hugging Face folder can be wrong: a sentence with its place, and nothing left behind.

use super::hugging_face::Folder;
use super::{ChatTemplate, OPTIONS, Options, SHARD};
use crate::fixture::hugging_face::{Tensor, safetensors, with_header};
use serde_json::{Value, json};
use std::fs;

/// Breaks a folder; the sentence has to name these.
type Case = (&'static str, fn(&mut Folder), &'static [&'static str]);

const FILE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const CONFIG: &str = "config.json";
const JSON: &str = "tokenizer.json";

/// Puts other bytes in the place of the tensors.
fn file(f: &mut Folder, bytes: impl Into<Vec<u8>>) {
    f.files.push((FILE, bytes.into()));
}

/// The same tensors under a header that `change` changes.
fn header(f: &mut Folder, change: impl FnOnce(&mut Value)) {
    let whole = safetensors(&f.tensors);
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut header = serde_json::from_slice(&whole[8..][..length]).unwrap();
    change(&mut header);
    file(f, with_header(&header.to_string(), &whole[8 + length..]));
}

fn index(f: &mut Folder, index: Value) {
    f.files.push((INDEX, index.to_string().into()));
}

const EMBEDDING: &str = "model.embed_tokens.weight";

#[rustfmt::skip] // a table
const WEIGHTS: &[Case] = &[
    ("an empty file", |f| file(f, ""), &[FILE, "empty"]),
    ("a web page", |f| file(f, "<html>Forbidden</html>"), &[FILE, "web page"]),
    ("git's pointer", |f| file(f, "version https://git-lfs.github.com/spec/v1\n"), &[FILE, "git lfs pull"]),
    ("five bytes", |f| file(f, "\x05\0\0\0\0"), &[FILE, "at byte 0", "cut short"]),
    ("a header of more than there is", |f| file(f, with_header("{}", b"")[..9].to_vec()), &[FILE, "at byte 0", "1 bytes follow"]),
    ("a header of exabytes", |f| file(f, [0xff; 64]), &[FILE, "at byte 0", "18446744073709551615"]),
    ("a header that is no JSON", |f| file(f, with_header("{\"a\": }", b"")), &[FILE, "at byte 14", "expected value"]),
    ("a header that is a list", |f| file(f, with_header("[]", b"")), &[FILE, "at byte", "an object of tensors"]),
    ("a header that is not text", |f| file(f, [1u64.to_le_bytes().as_slice(), &[0xff]].concat()), &[FILE, "at byte 8"]),
    ("a deeply nested header", |f| file(f, with_header(&"[".repeat(100_000), b"")), &[FILE, "at byte"]),
    ("a tensor twice", |f| {
        let one = r#""a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}"#;
        file(f, with_header(&format!("{{{one}, {one}}}"), b""));
    }, &[FILE, "at byte", "`a` is described twice"]),
    ("a tensor without a shape", |f| header(f, |h| h[EMBEDDING]["shape"] = Value::Null), &[FILE, "at byte", "invalid type: null"]),
    ("a negative length", |f| header(f, |h| h[EMBEDDING]["shape"] = json!([10, -8])), &[FILE, "at byte", "-8"]),
    ("three offsets", |f| header(f, |h| h[EMBEDDING]["data_offsets"] = json!([0, 1, 2])), &[FILE, "at byte"]),
    ("offsets beyond the file", |f| header(f, |h| h[EMBEDDING]["data_offsets"] = json!([0, 1u64 << 60])), &[FILE, EMBEDDING, "1152921504606846976", "cut short"]),
    ("offsets that run back", |f| header(f, |h| h[EMBEDDING]["data_offsets"] = json!([320, 0])), &[FILE, EMBEDDING, "from 320 to 0"]),
    ("offsets of another tensor", |f| header(f, |h| {
        h["model.norm.weight"]["data_offsets"] = h["model.layers.0.input_layernorm.weight"]["data_offsets"].clone();
    }), &[FILE, "norm.weight", "are those of `model"]),
    ("fewer bytes than the shape", |f| header(f, |h| h[EMBEDDING]["data_offsets"] = json!([0, 316])), &[FILE, EMBEDDING, "[10, 8] of F32", "316 bytes"]),
    ("a shape that overflows", |f| header(f, |h| h[EMBEDDING]["shape"] = json!([1u64 << 63, 1u64 << 63])), &[FILE, EMBEDDING, "9223372036854775808"]),
    ("a shape of nothing", |f| header(f, |h| {
        h[EMBEDDING]["shape"] = json!([0, 8]);
        h[EMBEDDING]["data_offsets"] = json!([0, 0]);
    }), &[FILE, EMBEDDING, "[0, 8]"]),
    ("three dimensions", |f| f.tensor("q_proj.weight").shape = vec![2, 4, 8], &[FILE, "q_proj.weight", "[2, 4, 8]", "one or two"]),
    ("a norm that is a matrix", |f| f.tensor("input_layernorm.weight").shape = vec![8, 1], &[FILE, "input_layernorm.weight", "one dimension"]),
    ("a name as long as the file", |f| header(f, |h| h["x".repeat(9000)] = json!({"dtype": "F32", "shape": [3], "data_offsets": [0, 9]})), &[FILE, "xxx…`"]),
    ("a type that is no weight's", |f| f.tensor("q_proj.weight").dtype = "F8_E4M3", &[FILE, "q_proj.weight", "F8_E4M3"]),
    ("not a number", |f| f.tensor("k_proj.weight").bytes[32..36].copy_from_slice(&f32::NAN.to_le_bytes()), &[FILE, "k_proj.weight", "row 1, column 0", "NaN"]),
    ("a tensor missing", |f| f.tensors.retain(|t| !t.name.ends_with("o_proj.weight")), &[FILE, "layers.0.self_attn.o_proj.weight", "missing"]),
    ("no output matrix, and none promised", |f| f.tensors.retain(|t| t.name != "lm_head.weight"), &[FILE, "lm_head.weight", "missing"]),
    ("a tensor too many", |f| f.tensors.push(Tensor { name: "model.layers.0.self_attn.q_proj.bias\u{1b}".into(), ..f.tensors[1].clone() }), &[FILE, r"q_proj.bias\u{1b}`", "no Llama"]),
    ("a layer too many", |f| f.tensors.push(Tensor { name: "model.layers.1.input_layernorm.weight".into(), ..f.tensors[1].clone() }), &[FILE, "layer 1", "num_hidden_layers in config.json is 1"]),
    ("names of Meta", |f| f.tensors.iter_mut().for_each(|t| t.name = t.name.replace("model.embed", "tok_embed")), &[FILE, EMBEDDING]),
    ("an index that is no JSON", |f| f.files.push((INDEX, b"{".to_vec())), &[INDEX, "line 1"]),
    ("an index without a map", |f| index(f, json!({"metadata": {}})), &[INDEX, "weight_map"]),
    ("an index of nothing", |f| index(f, json!({"weight_map": {}})), &[INDEX, "weight_map"]),
    ("an index that leads out of the folder", |f| index(f, json!({"weight_map": {"a": "../model.safetensors"}})), &[INDEX, "../model.safetensors", "no name"]),
    ("an index of another format", |f| index(f, json!({"weight_map": {"a": "config.json"}})), &[INDEX, "config.json", "no name"]),
    ("an index of a missing file", |f| index(f, json!({"weight_map": {"a": FILE, "b": "model-2.safetensors"}})), &["model-2.safetensors", "missing"]),
    ("a tensor in two files", |f| {
        f.files.push(("b.safetensors", safetensors(&f.tensors[..1])));
        index(f, json!({"weight_map": {"a": FILE, "b": "b.safetensors"}}));
    }, &[FILE, EMBEDDING, "b.safetensors"]),
    ("parts without an index", |f| {
        f.files.push(("model-00001-of-00002.safetensors", safetensors(&f.tensors)));
        f.gone.push(FILE);
    }, &["novel", INDEX]),
    ("an adapter", |f| {
        f.files.push(("adapter_model.safetensors", safetensors(&f.tensors)));
        f.gone.push(FILE);
    }, &["novel", "adapter"]),
    ("both layouts", |f| f.files.push((SHARD, vec![0])), &["novel", "consolidated.00.pth", "*.safetensors"]),
    ("PyTorch's weights", |f| {
        f.files.push(("pytorch_model.bin", vec![0]));
        f.gone.push(FILE);
    }, &["novel", "pytorch_model.bin"]),
    ("no weights", |f| f.gone.push(FILE), &["novel", FILE, "missing"]),
];

#[rustfmt::skip] // a table
const CONFIGS: &[Case] = &[
    ("no config", |f| f.gone.push(CONFIG), &[CONFIG, "missing"]),
    ("a config that is no JSON", |f| f.files.push((CONFIG, b"{\"a\": 1,\n}".to_vec())), &[CONFIG, "line 2"]),
    ("a config that is a list", |f| f.config = json!([]), &[CONFIG, "line 1", "hyperparameters"]),
    ("a config that is a page", |f| f.files.push((CONFIG, b"<html>".to_vec())), &[CONFIG, "web page"]),
    ("no architecture", |f| f.config["architectures"] = Value::Null, &[CONFIG, "`architectures`", "missing"]),
    ("an empty list of architectures", |f| f.config["architectures"] = json!([]), &[CONFIG, "`architectures`", "[]"]),
    ("another architecture", |f| f.config["architectures"] = json!(["MixtralForCausalLM"]), &[CONFIG, "MixtralForCausalLM", "MistralForCausalLM"]),
    ("no width", |f| f.config["hidden_size"] = Value::Null, &[CONFIG, "`hidden_size`", "missing"]),
    ("a width of text", |f| f.config["hidden_size"] = json!("8"), &[CONFIG, "`hidden_size`", "\"8\""]),
    ("another width", |f| f.config["hidden_size"] = json!(16), &[FILE, EMBEDDING, "asks for [10, 16]"]),
    ("an odd head", |f| f.config["head_dim"] = json!(3), &[CONFIG, "`head_dim`", "3 is odd"]),
    ("another head", |f| f.config["head_dim"] = json!(8), &[FILE, "q_proj.weight", "asks for [16, 8]"]),
    ("heads that do not divide", |f| f.config["num_attention_heads"] = json!(3), &[CONFIG, "`num_attention_heads`", "3 heads"]),
    ("key heads that do not divide", |f| f.config["num_key_value_heads"] = json!(4), &[CONFIG, "`num_key_value_heads`"]),
    ("Mistral without key heads", |f| {
        f.config["architectures"] = json!(["MistralForCausalLM"]);
        f.config["num_key_value_heads"] = Value::Null;
    }, &[CONFIG, "`num_key_value_heads`", "missing"]),
    ("another feed-forward length", |f| f.config["intermediate_size"] = json!(13), &[CONFIG, "`intermediate_size`", "13", "gate_proj.weight has 12 rows"]),
    ("another vocabulary", |f| f.config["vocab_size"] = json!(11), &[CONFIG, "`vocab_size`", "11", "10 rows"]),
    ("another activation", |f| f.config["hidden_act"] = json!("gelu"), &[CONFIG, "`hidden_act`", "gelu"]),
    ("a control character", |f| f.config["hidden_act"] = json!("ge\u{7f}lu"), &[CONFIG, "`hidden_act`", r"ge\u{7f}lu"]),
    ("biases", |f| f.config["attention_bias"] = json!(true), &[CONFIG, "`attention_bias`"]),
    ("a quantized checkpoint", |f| f.config["quantization_config"] = json!({"bits": 4}), &[CONFIG, "`quantization_config`"]),
    ("a text as long as the file", |f| f.files.push((CONFIG, format!("\"{}\"", "é".repeat(9000)).into())), &[CONFIG, "line 1", "…", "expected a map"]),
    ("a part of each head", |f| f.config["partial_rotary_factor"] = json!(0.5), &[CONFIG, "`partial_rotary_factor`"]),
    ("an unknown stretching", |f| f.config["rope_scaling"] = json!({"type": "yarn", "factor": 4.0}), &[CONFIG, "`rope_scaling.type`", "yarn"]),
    ("a stretching without a factor", |f| f.config["rope_scaling"] = json!({"rope_type": "linear"}), &[CONFIG, "`rope_scaling.factor`", "missing"]),
    ("a stretching of zero", |f| f.config["rope_scaling"] = json!({"rope_type": "linear", "factor": 0}), &[CONFIG, "`rope_scaling.factor`"]),
    ("a stretching without a mean", |f| {
        f.config["rope_scaling"] = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192});
    }, &[CONFIG, "`rope_scaling.high_freq_factor`", "4"]),
    ("a stretching that is a number", |f| f.config["rope_scaling"] = json!(2.0), &[CONFIG, "`rope_scaling`", "no object"]),
    ("an epsilon below zero", |f| f.config["rms_norm_eps"] = json!(-1e-5), &[CONFIG, "`rms_norm_eps`"]),
    ("a tie that is a word", |f| f.config["tie_word_embeddings"] = json!("yes"), &[CONFIG, "`tie_word_embeddings`", "neither"]),
];

#[rustfmt::skip] // a table
const TOKENIZERS: &[Case] = &[
    ("no tokenizer", |f| f.gone.push(JSON), &[JSON, "missing", "tokenizer.model"]),
    ("a tokenizer that is cut", |f| f.files.push((JSON, f.tokenizer.to_string().as_bytes()[..100].to_vec())), &[JSON, "line 1"]),
    ("a tokenizer without a model", |f| f.tokenizer = json!({}), &[JSON, "line 1", "`model`"]),
    ("a unigram tokenizer", |f| f.tokenizer["model"] = json!({"type": "Unigram", "vocab": [["a", -1.5]]}), &[JSON, "Unigram"]),
    ("a word-piece tokenizer", |f| f.tokenizer["model"]["type"] = json!("WordPiece"), &[JSON, "WordPiece"]),
    ("an id that is none", |f| f.tokenizer["model"]["vocab"]["a"] = json!(-1), &[JSON, "line 1", "-1"]),
    ("an id beyond the rows", |f| f.tokenizer["model"]["vocab"]["z"] = json!(4_000_000_000u32), &[JSON, "`z`", "4000000000", "10 rows"]),
    ("an id twice", |f| f.tokenizer["model"]["vocab"]["a"] = json!(1), &[JSON, "its id is 1", "`a`", "`b`"]),
    ("a piece twice", |f| {
        let text = f.tokenizer.to_string().replace("\"b\":1", "\"a\":1");
        f.files.push((JSON, text.into()));
    }, &[JSON, "`a`", "twice"]),
    ("a merge of one piece", |f| f.tokenizer["model"]["merges"] = json!(["ab"]), &[JSON, "merge 0", "`ab`"]),
    ("a merge of three", |f| f.tokenizer["model"]["merges"] = json!([["a", "b", "c"]]), &[JSON, "line 1"]),
    ("a merge of numbers", |f| f.tokenizer["model"]["merges"] = json!([[1, 2]]), &[JSON, "line 1", "invalid type: integer `1`, expected a string"]),
    ("a merge that is a number", |f| f.tokenizer["model"]["merges"] = json!([1]), &[JSON, "line 1", "expected two pieces"]),
    ("a merge of no pieces", |f| f.tokenizer["model"]["merges"] = json!(["a b", "x y"]), &[JSON, "merge 0", "`ab` is no piece"]),
    ("a merge of what is a control token", |f| {
        f.tokenizer["normalizer"] = Value::Null;
        f.tokenizer["pre_tokenizer"] = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true});
        let vocab = json!({"a": 0, "b": 1, "ab": 2, "d": 3, "e": 4, "f": 5, "g": 6, "h": 7, "i": 8, "j": 9});
        f.tokenizer["model"] = json!({"type": "BPE", "unk_token": "j", "vocab": vocab, "merges": ["a b"]});
        f.tokenizer["added_tokens"] = json!([{"id": 1, "content": "b", "special": true}]);
    }, &[JSON, "merge 0", "`b` is no piece that text becomes"]),
    ("no token for what is unknown", |f| f.tokenizer["model"]["unk_token"] = Value::Null, &[JSON, "neither an unknown token nor one for the byte 0x00"]),
    ("an unknown normalizer", |f| f.tokenizer["normalizer"] = json!({"type": "Lowercase"}), &[JSON, "`normalizer`", "Lowercase"]),
    ("an unknown pre-tokenizer", |f| {
        f.tokenizer["normalizer"] = Value::Null;
        f.tokenizer["pre_tokenizer"] = json!({"type": "Whitespace"});
    }, &[JSON, "`pre_tokenizer`", "Whitespace"]),
    ("an unknown cut of a byte-level tokenizer", |f| {
        f.tokenizer["model"]["byte_fallback"] = json!(false);
        f.tokenizer["normalizer"] = Value::Null;
        f.tokenizer["pre_tokenizer"] = json!({"type": "Split", "pattern": {"Regex": "\\d"}, "behavior": "Isolated"});
    }, &[JSON, "`pre_tokenizer`", "Split"]),
    ("a normalized byte-level tokenizer", |f| f.tokenizer["model"]["byte_fallback"] = json!(false), &[JSON, "`normalizer`"]),
    ("more pieces than anyone has", |f| {
        let pieces: Vec<_> = (0..=1 << 20).map(|id| format!("\"{id:x}\":{id}")).collect();
        let text = format!(r#"{{"model":{{"type":"BPE","vocab":{{{}}}}}}}"#, pieces.join(","));
        f.files.push((JSON, text.into()));
    }, &[JSON, "line 1", "more than 1048576 pieces"]),
    ("more merges than anyone has", |f| {
        let text = format!(r#"{{"model":{{"type":"BPE","vocab":{{}},"merges":[{}""]}}}}"#, "\"\",".repeat(1 << 20));
        f.files.push((JSON, text.into()));
    }, &[JSON, "line 1", "more than 1048576"]),
    ("a rule of megabytes", |f| f.tokenizer["post_processor"] = json!(vec![0; 1 << 16]), &[JSON, "line 1", "a rule of 131073 bytes"]),
    ("an added token without an id", |f| f.tokenizer["added_tokens"] = json!([{"content": "x"}]), &[JSON, "line 1", "`id`"]),
    ("settings that are no JSON", |f| f.files.push(("tokenizer_config.json", b"no".to_vec())), &["tokenizer_config.json", "line 1"]),
    ("an added token under a word", |f| f.settings["added_tokens_decoder"] = json!({"one": {"content": "x"}}), &["tokenizer_config.json", "`added_tokens_decoder.one`"]),
    ("an added token without text", |f| f.settings["added_tokens_decoder"] = json!({"1": {}}), &["tokenizer_config.json", "`added_tokens_decoder.1`", "content"]),
    ("added tokens that are words", |f| f.files.push(("added_tokens.json", br#"{"x": "y"}"#.to_vec())), &["added_tokens.json", "`x`"]),
    ("templates without a default", |f| f.settings["chat_template"] = json!([{"name": "rag", "template": ""}]), &["tokenizer_config.json", "`chat_template`", "default"]),
    ("a template that is a number", |f| f.settings["chat_template"] = json!(7), &["tokenizer_config.json", "`chat_template`", "7"]),
    ("a template that is not text", |f| f.files.push(("chat_template.jinja", vec![b'a', 0xff])), &["chat_template.jinja", "at byte 1"]),
    ("Meta's tokenizer of Llama 3", |f| f.files.push(("tokenizer.model", b"IQ== 0\n".to_vec())), &["tokenizer.model", JSON]),
    ("JSON for a model", |f| f.files.push(("tokenizer.model", b"{}".to_vec())), &["tokenizer.model", "JSON"]),
];

#[test]
fn what_is_wrong_is_a_sentence_and_leaves_nothing() {
    for (what, spoil, said) in [WEIGHTS, CONFIGS, TOKENIZERS].into_iter().flatten() {
        let mut folder = Folder::new();
        spoil(&mut folder);
        refuse(&folder, what, said);
    }
}

fn refuse(folder: &Folder, what: &str, said: &[&str]) {
    let error = folder.convert(&OPTIONS).map(|_| ()).expect_err(what).to_string();
    for part in said {
        assert!(error.contains(part), "{what}: `{part}` is not in: {error}");
    }
    assert!(!error.contains(['\n', '\u{1b}']) && error.len() < 1000, "{what}: {error:?}");
    assert_eq!(fs::read_dir(folder.out()).unwrap().count(), 0, "{what}: something was left behind");
}

#[test]
fn many_more_rows_than_tokens_are_refused_before_they_take_memory() {
    let mut folder = Folder::new();
    let n_rows = 10 + (1u64 << 16) + 1;
    for name in ["embed_tokens.weight", "lm_head.weight"] {
        let tensor = folder.tensor(name);
        tensor.shape[0] = n_rows;
        tensor.bytes.resize(n_rows as usize * 32, 0);
    }
    folder.config["vocab_size"] = json!(n_rows);
    refuse(&folder, "rows", &[JSON, "10 tokens", "65547 rows"]);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let mut folder = Folder::new();
    let whole = safetensors(&folder.tensors);
    for n in (0..whole.len()).step_by(3).chain([whole.len() - 1]) {
        folder.files = vec![(FILE, whole[..n].to_vec())];
        refuse(&folder, &format!("{n} of {} bytes", whole.len()), &[FILE]);
    }
}

/// Whatever a header says, the answer is an error or a conversion: no panic, no wait.
#[test]
fn a_header_with_any_byte_changed_does_no_harm() {
    let mut folder = Folder::new();
    let whole = safetensors(&folder.tensors);
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for at in 0..8 + length {
        for flip in [0x01, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            folder.files = vec![(FILE, bytes)];
            if folder.convert(&OPTIONS).is_ok() {
                fs::remove_file(folder.out().join("model.gguf")).unwrap();
            }
            assert_eq!(fs::read_dir(folder.out()).unwrap().count(), 0, "byte {at}");
        }
    }
}

#[test]
fn a_template_of_no_use_is_refused_where_it_was_named_and_told_where_it_came_along() {
    let mut folder = Folder::new();
    folder.settings = json!({"chat_template": "{{ a"});
    let check_template = |text: &str| if text == "{{ a" { Err("line 1: no end".into()) } else { Ok(()) };
    let options = Options { check_template, ..OPTIONS };
    let (file, notes) = folder.convert(&options).unwrap();
    assert_eq!(file.metadata().str("tokenizer.chat_template").unwrap(), Some("{{ a"));
    assert!(notes.contains("tokenizer_config.json: llamita itself cannot use it: line 1"), "{notes}");

    let own = folder.path().join("own.jinja");
    fs::write(&own, "{{ a").unwrap();
    fs::remove_file(folder.out().join("model.gguf")).unwrap();
    let named = Options { chat_template: ChatTemplate::File(own.clone()), ..options };
    let error = folder.convert(&named).unwrap_err().to_string();
    assert!(error.contains("own.jinja") && error.contains("no end"), "{error}");
    assert_eq!(folder.out().read_dir().unwrap().count(), 0);
    fs::write(own, "{{ b }}").unwrap();
    let (file, _) = folder.convert(&named).unwrap();
    assert_eq!(file.metadata().str("tokenizer.chat_template").unwrap(), Some("{{ b }}"));
}
