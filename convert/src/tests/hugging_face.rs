//! Hugging Face's form of a model gives the file that Meta's gives.

use super::{Bench, Notes, OPTIONS, contents};
use crate::fixture::hugging_face::{
    self, Tensor, byte_level_of, config_of, safetensors, sentencepiece_of, tensors_of,
};
use crate::fixture::{self};
use crate::{Error, Options, convert};
use quantize::FileType;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The small model of [`fixture`] in Hugging Face's form, as data that a test may change before it is written.
pub(super) struct Folder {
    home: TempDir,
    pub(super) tensors: Vec<Tensor>,
    pub(super) config: Value,
    pub(super) tokenizer: Value,
    /// `tokenizer_config.json`.
    pub(super) settings: Value,
    /// Further files.
    pub(super) files: Vec<(&'static str, Vec<u8>)>,
    pub(super) gone: Vec<&'static str>,
}

impl Folder {
    pub(super) fn new() -> Self {
        Self::of(&Bench::new().convert(&OPTIONS).unwrap())
    }

    fn of(file: &gguf::File) -> Self {
        let tokenizer = match file.metadata().str("tokenizer.ggml.model").unwrap() {
            Some("llama") => sentencepiece_of(file),
            _ => byte_level_of(
                file.metadata(),
                file.tensor("token_embd.weight").unwrap().shape[1] as usize - 256,
            ),
        };
        Self {
            home: TempDir::new().unwrap(),
            tensors: tensors_of(file),
            config: config_of(file),
            tokenizer,
            settings: json!({}),
            files: Vec::new(),
            gone: Vec::new(),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.home.path().join("novel")
    }

    pub(super) fn convert(&self, options: &Options) -> Result<(gguf::File, String), Error> {
        let folder = self.path();
        hugging_face::write(&folder, &self.tensors, &self.config, &self.tokenizer);
        fs::write(folder.join("tokenizer_config.json"), self.settings.to_string()).unwrap();
        for (name, bytes) in &self.files {
            fs::write(folder.join(name), bytes).unwrap();
        }
        for name in &self.gone {
            fs::remove_file(folder.join(name)).unwrap();
        }
        let output = self.out().join("model.gguf");
        let notes = Notes::default();
        convert(&folder, Some(&output), options, &notes)?;
        Ok((gguf::File::open(output).unwrap(), notes.0.into_inner().unwrap().join("\n")))
    }

    /// An empty folder, until something is converted.
    pub(super) fn out(&self) -> PathBuf {
        let out = self.home.path().join("out");
        fs::create_dir_all(&out).unwrap();
        out
    }

    pub(super) fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name.ends_with(name)).unwrap()
    }
}

/// The values under `tokenizer.ggml.`, but for the ids of what only Meta's form names.
fn vocabulary(file: &gguf::File) -> Vec<(&str, &gguf::Value)> {
    let mut keys: Vec<_> =
        file.metadata().iter().filter(|(key, _)| key.starts_with("tokenizer.ggml.")).collect();
    keys.retain(|(key, _)| !["eot", "eom"].iter().any(|word| key.contains(word)));
    keys.sort_by_key(|(key, _)| *key);
    keys
}

#[test]
fn both_forms_of_a_small_model_give_the_same_tensors() {
    let meta = Bench::new().convert(&OPTIONS).unwrap();
    let folder = Folder::new();
    let (file, notes) = folder.convert(&OPTIONS).unwrap();
    assert!(contents(&file) == contents(&meta));
    assert!(notes.contains("max_position_embeddings") && !notes.contains("MD5"), "{notes}");
    let keys = |file: &gguf::File| {
        let all = file.metadata().iter().filter(|(key, _)| key.starts_with("llama."));
        all.map(|(key, value)| format!("{key} {value:?}")).collect::<Vec<_>>()
    };
    assert_eq!(keys(&file), keys(&meta));
    assert_eq!(file.metadata().str("llamita.convert.source").unwrap(), Some("Hugging Face folder"));

    // In parts, with files beside them that the index does not name.
    let mut parts = Folder::new();
    let (first, second) = parts.tensors.split_at(5);
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let map: serde_json::Map<_, _> = [first, second]
        .iter()
        .zip(names)
        .flat_map(|(tensors, file)| tensors.iter().map(move |tensor| (tensor.name.clone(), json!(file))))
        .collect();
    parts.files = vec![
        (names[0], safetensors(first)),
        (names[1], safetensors(second)),
        ("consolidated.safetensors", b"not looked at".to_vec()),
        ("model.safetensors.index.json", json!({"metadata": {}, "weight_map": map}).to_string().into()),
    ];
    parts.gone = vec!["model.safetensors"];
    let (file, _) = parts.convert(&OPTIONS).unwrap();
    assert!(contents(&file) == contents(&meta), "in parts");
    assert_eq!(file.metadata().uint("llamita.convert.source_shards").unwrap(), Some(2));
}

#[test]
fn novel_8m_converts_from_hugging_faces_form_to_the_same_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/models/novel-8m");
    let home = TempDir::new().unwrap();
    let output = home.path().join("meta.gguf");
    convert(&root, Some(&output), &OPTIONS, &()).unwrap();
    let meta = gguf::File::open(&output).unwrap();
    for with_model in [false, true] {
        let mut folder = Folder::of(&meta);
        folder.settings = json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>",
            "add_bos_token": true, "add_eos_token": false});
        // Newer files leave it to the settings.
        folder.tokenizer["model"]["unk_token"] = Value::Null;
        if with_model {
            folder.files.push(("tokenizer.model", fs::read(root.join("tokenizer.model")).unwrap()));
        }
        let (file, _) = folder.convert(&OPTIONS).unwrap();
        assert!(contents(&file) == contents(&meta), "tokenizer.model: {with_model}");
        for (theirs, ours) in vocabulary(&meta).iter().zip(vocabulary(&file)) {
            assert!(*theirs == ours, "tokenizer.model: {with_model}: {} {}", theirs.0, ours.0);
        }
        assert_eq!(vocabulary(&meta).len(), vocabulary(&file).len());
    }
}

#[test]
fn halves_become_what_they_are() {
    for (dtype, file_type) in [("F16", FileType::F16), ("BF16", FileType::Bf16)] {
        let mut folder = Folder::new();
        for tensor in &mut folder.tensors {
            // The upper half of a f32 is a bf16; as a f16 it is some number too.
            tensor.bytes = tensor.bytes.chunks(4).flat_map(|number| [number[2], number[3]]).collect();
            tensor.dtype = dtype;
        }
        let embedding = folder.tensor("embed_tokens.weight").bytes.clone();
        let (file, _) = folder.convert(&Options { recipe: file_type.into(), ..OPTIONS }).unwrap();
        assert_eq!(file.bytes(file.tensor("token_embd.weight").unwrap()), embedding, "{dtype}");
    }
}

#[test]
fn a_small_llama_3_2_is_metas() {
    let (_home, meta) = super::llama3::small();
    let mut folder = Folder::of(&meta);
    folder.config["rope_scaling"] = json!({"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192});
    folder.settings = json!({"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>",
        "chat_template": "{{ bos_token }}"});
    let (file, notes) = folder.convert(&OPTIONS).unwrap();
    assert!(contents(&file) == contents(&meta), "the factors of the rotary embedding too");
    let add_eos = ("tokenizer.ggml.add_eos_token", &gguf::Value::Bool(false));
    let mut expected = vocabulary(&meta);
    expected.insert(1, add_eos);
    assert!(vocabulary(&file) == expected);
    assert_eq!(file.metadata().str("tokenizer.chat_template").unwrap(), Some("{{ bos_token }}"));
    assert!(notes.contains("tokenizer_config.json") && notes.contains("by 32"), "{notes}");

    // What transformers 5 writes: the base among the parameters, merges as pairs, a template of its own file.
    let mut newer = Folder::of(&meta);
    newer.config = folder.config.clone();
    let mut rope = folder.config["rope_scaling"].clone();
    rope["rope_theta"] = folder.config["rope_theta"].clone();
    newer.config["rope_parameters"] = rope;
    newer.config["rope_scaling"] = Value::Null;
    newer.config["rope_theta"] = Value::Null;
    newer.config["bos_token_id"] = json!(264);
    newer.config["eos_token_id"] = json!(264 + 9);
    for merge in newer.tokenizer["model"]["merges"].as_array_mut().unwrap() {
        *merge = merge.as_str().unwrap().split(' ').collect();
    }
    newer.settings = json!({"chat_template": "not this"});
    newer.files.push(("chat_template.jinja", b"this".to_vec()));
    let (file, _) = newer.convert(&OPTIONS).unwrap();
    assert!(contents(&file) == contents(&meta));
    assert!(vocabulary(&file) == expected);
    assert_eq!(file.metadata().str("tokenizer.chat_template").unwrap(), Some("this"));
}

/// A change to the small folder; keys and what they must be; what must be noted.
type Case = (&'static str, fn(&mut Folder), &'static [(&'static str, &'static str)], &'static [&'static str]);

const CASES: &[Case] = &[
    (
        "Mistral's window",
        |f| {
            f.config["architectures"] = json!(["MistralForCausalLM"]);
            f.config["sliding_window"] = json!(1024);
        },
        &[("llama.context_length", "U32(2048)")],
        &["sliding_window", "1024"],
    ),
    (
        "a window as long as the context, a length of the user's",
        |f| f.config["sliding_window"] = json!(2048),
        &[("llama.context_length", "U32(2048)")],
        &[],
    ),
    (
        "linear scaling",
        |f| f.config["rope_scaling"] = json!({"type": "linear", "factor": 2.5}),
        &[("llama.rope.scaling.type", "linear"), ("llama.rope.scaling.factor", "F32(2.5)")],
        &[],
    ),
    (
        "default scaling",
        |f| f.config["rope_scaling"] = json!({"rope_type": "default"}),
        &[("llama.rope.scaling.type", "absent"), ("llama.rope.scaling.factor", "absent")],
        &[],
    ),
    (
        "heads of another length",
        |f| {
            // One head of four in a width of eight.
            for (name, shape) in [("q_proj.weight", [4, 8]), ("o_proj.weight", [8, 4])] {
                let tensor = f.tensor(name);
                tensor.shape = shape.to_vec();
                tensor.bytes.truncate(4 * 8 * 4);
            }
            f.config["num_attention_heads"] = json!(1);
            f.config["head_dim"] = json!(4);
        },
        &[
            ("llama.attention.key_length", "U32(4)"),
            ("llama.attention.value_length", "U32(4)"),
            ("llama.rope.dimension_count", "U32(4)"),
        ],
        &[],
    ),
    (
        "an old file without key heads",
        |f| {
            let k = f.tensor("k_proj.weight").bytes.clone();
            for name in ["k_proj.weight", "v_proj.weight"] {
                let tensor = f.tensor(name);
                (tensor.shape, tensor.bytes) = (vec![8, 8], k.repeat(2));
            }
            f.config["num_key_value_heads"] = Value::Null;
            f.tensors.push(Tensor {
                name: "model.layers.0.self_attn.rotary_emb.inv_freq".into(),
                ..f.tensors[1].clone()
            });
        },
        &[("llama.attention.head_count_kv", "U32(2)")],
        &[],
    ),
    (
        "fewer tokens than rows",
        |f| {
            for token in ["i", "d"] {
                f.tokenizer["model"]["vocab"].as_object_mut().unwrap().remove(token);
            }
        },
        &[
            ("tokenizer.ggml.tokens 3", "[PAD3]"),
            ("tokenizer.ggml.tokens 8", "[PAD8]"),
            ("tokenizer.ggml.tokens 9", "j"),
            ("tokenizer.ggml.token_type", "I32([2, 1, 1, 5, 1, 1, 1, 1, 5, 1])"),
        ],
        &["2 of the model's 10 rows"],
    ),
    (
        "added tokens",
        |f| {
            f.tokenizer["model"]["vocab"] = json!({"a": 0, "b": 1, "<s>": 2, "<0x0A>": 3, "<unk>": 4});
            f.tokenizer["added_tokens"] = json!([
                {"id": 2, "content": "<s>", "special": true},
                {"id": 4, "content": "<unk>", "special": true},
                {"id": 5, "content": "▁▁", "special": false},
                {"id": 6, "content": "<|im_end|>", "special": false},
                {"id": 10, "content": "beyond", "special": true},
            ]);
            f.settings = json!({
                "bos_token": {"content": "<s>"}, "eos_token": "<|im_end|>", "unk_token": "<unk>", "pad_token": "beyond",
                "add_eos_token": true,
                "added_tokens_decoder": {"7": {"content": "<mask>", "special": true}, "6": {"content": "overruled"}},
            });
            f.files.push(("added_tokens.json", br#"{"x y": 8, "overruled": 7}"#.to_vec()));
        },
        &[
            ("tokenizer.ggml.tokens 5", "  "),
            ("tokenizer.ggml.tokens 6", "<|im_end|>"),
            ("tokenizer.ggml.tokens 7", "<mask>"),
            ("tokenizer.ggml.tokens 8", "x y"),
            ("tokenizer.ggml.token_type", "I32([2, 1, 3, 6, 2, 4, 3, 3, 4, 5])"),
            ("tokenizer.ggml.bos_token_id", "U32(2)"),
            ("tokenizer.ggml.eos_token_id", "U32(6)"),
            ("tokenizer.ggml.unknown_token_id", "U32(4)"),
            ("tokenizer.ggml.padding_token_id", "absent"),
            ("tokenizer.ggml.add_bos_token", "Bool(true)"),
            ("tokenizer.ggml.add_eos_token", "Bool(false)"),
        ],
        &["1 added tokens are left out", "1 of the model's 10 rows"],
    ),
    (
        "flags of the settings alone",
        |f| {
            f.tokenizer["post_processor"] = Value::Null;
            f.settings = json!({"add_bos_token": false, "add_eos_token": true});
        },
        &[("tokenizer.ggml.add_bos_token", "Bool(false)"), ("tokenizer.ggml.add_eos_token", "Bool(true)")],
        &[],
    ),
    (
        "ids of config.json, where they are single",
        |f| {
            f.config["bos_token_id"] = json!(1);
            f.config["eos_token_id"] = json!([2, 3]);
        },
        &[("tokenizer.ggml.bos_token_id", "U32(1)"), ("tokenizer.ggml.eos_token_id", "absent")],
        &[],
    ),
    (
        "a pre-tokenizer in the normalizer's place",
        |f| {
            f.tokenizer["normalizer"] = Value::Null;
            f.tokenizer["pre_tokenizer"] =
                json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": false});
        },
        &[("tokenizer.ggml.add_space_prefix", "Bool(false)")],
        &[],
    ),
    (
        "merges out of order",
        |f| {
            f.tokenizer["model"]["vocab"] = json!({"a": 0, "b": 1, "aa": 2, "ab": 3, "aab": 4});
            f.tokenizer["model"]["merges"] = json!(["a b", "a a", "aa b", "a ab", ["aa", "b"], "a b"]);
        },
        &[(
            "tokenizer.ggml.scores",
            "F32([0.0, -3.0, -1.0, -0.0, -2.0, -1000.0, -1000.0, -1000.0, -1000.0, -1000.0])",
        )],
        &["not in SentencePiece's order"],
    ),
    (
        "an embedding that serves as output, whatever lm_head says",
        |f| f.config["tie_word_embeddings"] = json!(true),
        &[("output.weight", "absent")],
        &["lm_head.weight is left out", "tie_word_embeddings"],
    ),
    (
        "templates by name",
        |f| {
            f.settings["chat_template"] =
                json!([{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]);
        },
        &[("tokenizer.chat_template", "yes")],
        &["tokenizer_config.json"],
    ),
];

/// A value as a case writes it.
fn said(file: &gguf::File, key: &str) -> String {
    if key == "output.weight" {
        return if file.tensor(key).is_some() { "present" } else { "absent" }.into();
    }
    let keys = file.metadata();
    if let Some((key, index)) = key.split_once(' ') {
        let token = keys.strings(key).unwrap().unwrap().get(index.parse().unwrap()).unwrap();
        return String::from_utf8(token.to_vec()).unwrap();
    }
    match keys.get(key) {
        None => "absent".into(),
        Some(gguf::Value::String(text)) => String::from_utf8(text.clone()).unwrap(),
        Some(gguf::Value::Array(array)) => format!("{array:?}"),
        Some(value) => format!("{value:?}"),
    }
}

#[test]
fn a_folder_says_what_the_file_says() {
    for (what, change, expected, noted) in CASES {
        let mut folder = Folder::new();
        change(&mut folder);
        let (file, notes) = folder.convert(&OPTIONS).unwrap_or_else(|error| panic!("{what}: {error}"));
        for (key, value) in *expected {
            assert_eq!(said(&file, key), *value, "{what}: {key}");
        }
        for part in *noted {
            assert!(notes.contains(part), "{what}: `{part}` is not in: {notes}");
        }
        assert!(
            !noted.is_empty() || notes.lines().count() == 2,
            "{what}: context and template alone: {notes}"
        );
    }
}

#[test]
fn rows_of_the_small_model_are_what_they_were_made_of() {
    // Head 0 of `q` has four rows: pairs (0, 1) and (2, 3) are rows (0, 2) and (1, 3) of the halves.
    let mut folder = Folder::new();
    let q = folder.tensor("q_proj.weight").bytes.clone();
    let meta = fixture::tensors()[3].bytes.clone();
    for (theirs, ours) in [(0, 0), (1, 2), (2, 1), (3, 3), (4, 4), (5, 6)] {
        assert_eq!(q[theirs * 32..][..32], meta[ours * 32..][..32]);
    }
}
