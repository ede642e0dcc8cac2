//! A Llama 3.2 in Meta's form, converted here, against what llama.cpp's own converter makes of its Hugging Face form:
//! tensor by tensor, key by key.
//!
//! Small and random, but of the true structure: tied, a scaled rotary embedding, embeddings cut by rows over two shards, and
//! the whole vocabulary, by whose tokens llama.cpp's converter recognizes it. It runs where `LLAMITA_PEER_CONVERTER` is a
//! command, as `/venv/bin/python /llama.cpp/convert_hf_to_gguf.py`: a Python with what that file imports.

use convert::ChatTemplate as Template;
use gguf::{File, Value};
use llamita_tests::checkpoint::{Dtype, Tensor, write_llama_3};
use llamita_tests::{convert_checkpoint, did_not_run, scratch_folder, tiktoken, vector};
use quantize::FileType;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

const DIM: usize = 128;
const N_HEADS: usize = 4;
const N_KV_HEADS: usize = 2;
const HEAD_DIM: usize = 32;
const FFN_DIM: usize = 512;
const N_LAYERS: usize = 2;
const N_RANKS: usize = 128_000;
const N_VOCAB: usize = 128_256;

/// Of Llama 3.2's `params.json`, with these widths.
const PARAMS: &str = r#"{"dim": 128, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "vocab_size": 128256,
    "ffn_dim_multiplier": 1.5, "multiple_of": 256, "norm_eps": 1e-05, "rope_theta": 500000.0, "use_scaled_rope": true}"#;

/// Keys that only one of the two writes, or writes otherwise, and why that is right; in their order.
const APART: &[(&str, &str)] = &[
    ("general.basename", "guessed there, of the folder's name"),
    ("general.finetune", "guessed there, of the folder's name"),
    ("general.name", "the folder's name as it is; there with spaces"),
    ("general.size_label", "there, a count of the weights"),
    (
        "llama.attention.key_length",
        "config.json says what follows from width and heads; params.json does not",
    ),
    ("llama.attention.value_length", "the same"),
    ("llamita.convert.source", "our own"),
    ("llamita.convert.source_shards", "our own"),
    ("llamita.convert.source_type", "our own"),
    ("llamita.convert.version", "our own"),
    ("tokenizer.ggml.eom_token_id", "llama.cpp finds it by its text when it loads the file"),
    ("tokenizer.ggml.eot_token_id", "the same"),
];

/// Random weights under Meta's names and under Hugging Face's. The output is the embedding.
fn tensors() -> Vec<(Tensor, String)> {
    const IN_LAYER: [(&str, &str, &[usize]); 9] = [
        ("attention_norm", "input_layernorm", &[DIM]),
        ("attention.wq", "self_attn.q_proj", &[DIM, DIM]),
        ("attention.wk", "self_attn.k_proj", &[N_KV_HEADS * HEAD_DIM, DIM]),
        ("attention.wv", "self_attn.v_proj", &[N_KV_HEADS * HEAD_DIM, DIM]),
        ("attention.wo", "self_attn.o_proj", &[DIM, DIM]),
        ("ffn_norm", "post_attention_layernorm", &[DIM]),
        ("feed_forward.w1", "mlp.gate_proj", &[FFN_DIM, DIM]),
        ("feed_forward.w2", "mlp.down_proj", &[DIM, FFN_DIM]),
        ("feed_forward.w3", "mlp.up_proj", &[FFN_DIM, DIM]),
    ];
    let mut bits = 1u32;
    let mut tensor = |meta: String, hugging_face: String, shape: &[usize]| {
        let mut next = || {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (bits >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let values = (0..shape.iter().product()).map(|_| next()).collect();
        let name = |model: String| format!("{model}.weight");
        (Tensor { name: name(meta), shape: shape.to_vec(), values }, name(hugging_face))
    };
    let mut tensors = vec![
        tensor("tok_embeddings".into(), "model.embed_tokens".into(), &[N_VOCAB, DIM]),
        tensor("norm".into(), "model.norm".into(), &[DIM]),
    ];
    for layer in 0..N_LAYERS {
        tensors.extend(IN_LAYER.iter().map(|(meta, hugging_face, shape)| {
            tensor(format!("layers.{layer}.{meta}"), format!("model.layers.{layer}.{hugging_face}"), shape)
        }));
    }
    tensors
}

/// The names of the special tokens of Llama 3.2's `tokenizer.json`, in their order.
fn special() -> Vec<String> {
    const NAMED: [(usize, &str); 8] = [
        (0, "begin_of_text"),
        (1, "end_of_text"),
        (4, "finetune_right_pad_id"),
        (6, "start_header_id"),
        (7, "end_header_id"),
        (8, "eom_id"),
        (9, "eot_id"),
        (10, "python_tag"),
    ];
    let mut n_reserved = 0;
    let mut name = |place| {
        let named = NAMED.iter().find(|(known, _)| *known == place);
        named.map_or_else(
            || {
                n_reserved += 1;
                format!("<|reserved_special_token_{}|>", n_reserved - 1)
            },
            |(_, name)| format!("<|{name}|>"),
        )
    };
    (0..N_VOCAB - N_RANKS).map(&mut name).collect()
}

fn texts(file: &File, key: &str) -> Vec<String> {
    let texts = file.metadata().strings(key).unwrap().unwrap();
    texts.iter().map(|text| String::from_utf8(text.to_vec()).unwrap()).collect()
}

/// Meta's download, in two shards.
fn write_meta(folder: &Path, vector: &File, tensors: &[(Tensor, String)]) {
    let tokens = texts(vector, "tokenizer.ggml.tokens");
    std::fs::create_dir_all(folder).unwrap();
    let ranks = folder.join("ranks");
    let bytes = tokens[..N_RANKS].iter().map(|token| tiktoken::bytes_of(token));
    std::fs::write(&ranks, tiktoken::file(bytes)).unwrap();
    let mut tensors: Vec<_> = tensors.iter().map(|(tensor, _)| tensor.clone()).collect();
    tensors.push(Tensor { name: "output.weight".into(), ..tensors[0].clone() });
    write_llama_3(folder, 2, Dtype::Bf16, &tensors, PARAMS, &ranks).unwrap();
}

/// Hugging Face's, as it lies beside Meta's in their repositories.
fn write_hugging_face(folder: &Path, vector: &File, tensors: &[(Tensor, String)]) {
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_act": "silu",
        "attention_bias": false, "mlp_bias": false, "tie_word_embeddings": true,
        "hidden_size": DIM, "intermediate_size": FFN_DIM, "num_hidden_layers": N_LAYERS, "head_dim": HEAD_DIM,
        "num_attention_heads": N_HEADS, "num_key_value_heads": N_KV_HEADS, "vocab_size": N_VOCAB,
        "max_position_embeddings": 131_072, "rms_norm_eps": 1e-5, "rope_theta": 500_000.0,
        "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192},
        "bos_token_id": N_RANKS, "eos_token_id": [N_RANKS + 1, N_RANKS + 8, N_RANKS + 9],
    });
    put("config.json", config.to_string().as_bytes());

    let tokens = texts(vector, "tokenizer.ggml.tokens");
    let vocab: serde_json::Map<_, _> =
        tokens[..N_RANKS].iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let special = special();
    let added = |(i, name): (usize, &String)| {
        json!({"id": N_RANKS + i, "content": name, "special": true, "normalized": false, "single_word": false,
            "lstrip": false, "rstrip": false})
    };
    const CUT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": special.iter().enumerate().map(added).collect::<Vec<_>>(),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": CUT}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": special[0], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": special[0], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": special[0], "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {&special[0]: {"id": special[0], "ids": [N_RANKS], "tokens": [special[0]]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": true,
            "vocab": vocab, "merges": texts(vector, "tokenizer.ggml.merges")},
    });
    put("tokenizer.json", tokenizer.to_string().as_bytes());
    let settings = json!({"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 131_072,
        "bos_token": special[0], "eos_token": special[9], "chat_template": convert::LLAMA3_CHAT_TEMPLATE});
    put("tokenizer_config.json", settings.to_string().as_bytes());

    let (mut header, mut numbers) = (json!({"__metadata__": {"format": "pt"}}), Vec::new());
    for (tensor, name) in tensors {
        let start = numbers.len();
        let rows = Dtype::Bf16.bytes(&tensor.values);
        match () {
            () if name.contains("q_proj") => numbers.extend(halves(&rows, N_HEADS)),
            () if name.contains("k_proj") => numbers.extend(halves(&rows, N_KV_HEADS)),
            () => numbers.extend(rows),
        }
        header[name] =
            json!({"dtype": "BF16", "shape": tensor.shape, "data_offsets": [start, numbers.len()]});
    }
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    put("model.safetensors", &[&length, header.as_bytes(), &numbers].concat());
}

/// What Hugging Face's converter does to the rows of `q` and `k`: of each head, the first of every pair, then the second.
fn halves(rows: &[u8], n_heads: usize) -> Vec<u8> {
    let (row_bytes, n_pairs) = (DIM * 2, HEAD_DIM / 2);
    let row = |head: usize, side: usize, pair: usize| {
        let at = ((head * n_pairs + pair) * 2 + side) * row_bytes;
        &rows[at..at + row_bytes]
    };
    let places = (0..n_heads)
        .flat_map(|head| (0..2).flat_map(move |side| (0..n_pairs).map(move |pair| (head, side, pair))));
    places.flat_map(|(head, side, pair)| row(head, side, pair).iter().copied()).collect()
}

#[test]
fn a_llama_3_2_is_what_llama_cpps_converter_makes_of_its_hugging_face_form() {
    let Some(converter) = std::env::var_os("LLAMITA_PEER_CONVERTER") else {
        return did_not_run("llama.cpp's converter", "LLAMITA_PEER_CONVERTER names no command that runs it");
    };
    let Some(vector) = vector("vocab/ggml-vocab-llama-bpe.gguf") else { return };
    let vector = File::open(vector).unwrap();
    let home = tempfile::tempdir_in(scratch_folder()).unwrap();
    let hugging_face = home.path().join("Llama-3.2-1B-Instruct");
    let meta = hugging_face.join("original");
    let tensors = tensors();
    write_meta(&meta, &vector, &tensors);
    write_hugging_face(&hugging_face, &vector, &tensors);

    let (ours, theirs) = (home.path().join("ours.gguf"), home.path().join("theirs.gguf"));
    convert_checkpoint(&meta, &ours, FileType::Bf16, Template::Auto).unwrap();
    let mut words = converter.to_str().expect("UTF-8").split_whitespace();
    let mut call = Command::new(words.next().expect("a program"));
    call.args(words).arg(&hugging_face).args(["--outtype", "bf16", "--outfile"]).arg(&theirs);
    let made = call.output().expect("the program runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (ours, theirs) = (File::open(ours).unwrap(), File::open(theirs).unwrap());

    let names =
        |file: &File| file.tensors().iter().map(|tensor| tensor.name.clone()).collect::<BTreeSet<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for our in ours.tensors() {
        let their = theirs.tensor(&our.name).unwrap();
        assert_eq!((our.ty, &our.shape), (their.ty, &their.shape), "{}", our.name);
        if our.name == "rope_freqs.weight" {
            // There they are computed in single precision.
            let floats = |bytes: &[u8]| bytemuck::pod_collect_to_vec::<u8, f32>(bytes);
            let pairs = floats(ours.bytes(our)).into_iter().zip(floats(theirs.bytes(their)));
            pairs.for_each(|(our, their)| assert!((our / their - 1.0).abs() < 5e-7, "{our} for {their}"));
        } else {
            assert!(ours.bytes(our) == theirs.bytes(their), "{}", our.name);
        }
    }

    let keys =
        |file: &File| file.metadata().iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
    let (our_keys, their_keys): (BTreeMap<String, Value>, BTreeMap<String, Value>) =
        (keys(&ours), keys(&theirs));
    let all: BTreeSet<_> = our_keys.keys().chain(their_keys.keys()).collect();
    let apart: Vec<_> = all.into_iter().filter(|key| our_keys.get(*key) != their_keys.get(*key)).collect();
    let shown = |value: Option<&Value>| {
        value.map_or("absent".to_owned(), |value| format!("{value:?}").chars().take(60).collect())
    };
    for key in &apart {
        eprintln!("{key}: {} here, {} there", shown(our_keys.get(*key)), shown(their_keys.get(*key)));
    }
    assert_eq!(apart, APART.iter().map(|(key, _)| *key).collect::<Vec<_>>());
}
