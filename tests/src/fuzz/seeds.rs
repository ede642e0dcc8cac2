//! Small sound files for the targets to begin with: one of each kind that llamita reads.

#![forbid(unsafe_code)]

use crate::checkpoint::{Dtype, Tensor};
use crate::tiktoken;
use serde_json::{Value, json};

/// Width of the seeds' models.
pub(super) const DIM: usize = 32;
/// Inner width of their feed-forward networks: what `params.json` makes of [`DIM`], rounded to 32.
const FFN_DIM: usize = 96;
/// Tokens of a vocabulary with all bytes: 3 or 4 special ones, 256 bytes, and pieces.
pub(super) const N_VOCAB: usize = 520;
/// Tokens of Llama 3 that have no rank.
const N_SPECIAL: usize = 256;

/// `params.json` of a model with [`tensors`].
pub(super) const PARAMS: &str = r#"{"dim": 32, "multiple_of": 32, "n_heads": 2, "n_kv_heads": 1, "n_layers": 1, "norm_eps": 1e-05, "vocab_size": -1}"#;

/// The same, as Llama 3.2 has it.
pub(super) const SCALED_PARAMS: &str = r#"{"dim": 32, "ffn_dim_multiplier": 1.0, "multiple_of": 32, "n_heads": 2, "n_kv_heads": 1, "n_layers": 1, "norm_eps": 1e-05, "rope_theta": 500000.0, "use_scaled_rope": true, "vocab_size": 520}"#;

/// A model of one layer under Meta's names. The output is the embedding.
pub(super) fn tensors(n_vocab: usize) -> Vec<Tensor> {
    let shapes: [(&str, &[usize]); 12] = [
        ("tok_embeddings.weight", &[n_vocab, DIM]),
        ("norm.weight", &[DIM]),
        ("output.weight", &[n_vocab, DIM]),
        ("layers.0.attention_norm.weight", &[DIM]),
        ("layers.0.attention.wq.weight", &[DIM, DIM]),
        ("layers.0.attention.wk.weight", &[DIM / 2, DIM]),
        ("layers.0.attention.wv.weight", &[DIM / 2, DIM]),
        ("layers.0.attention.wo.weight", &[DIM, DIM]),
        ("layers.0.ffn_norm.weight", &[DIM]),
        ("layers.0.feed_forward.w1.weight", &[FFN_DIM, DIM]),
        ("layers.0.feed_forward.w2.weight", &[DIM, FFN_DIM]),
        ("layers.0.feed_forward.w3.weight", &[FFN_DIM, DIM]),
    ];
    let tensor = |(name, shape): (&str, &[usize])| Tensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        values: (0..shape.iter().product()).map(|i: usize| (i % 13) as f32 * 0.03 - 0.2).collect(),
    };
    shapes.into_iter().map(tensor).collect()
}

/// A piece of SentencePiece's vocabulary: text and kind.
fn pieces(n_vocab: usize) -> Vec<(String, u8)> {
    let control = [("<unk>".to_owned(), 2), ("<s>".to_owned(), 3), ("</s>".to_owned(), 3)];
    let bytes = (0..256).map(|byte| (format!("<0x{byte:02X}>"), 6));
    let letters = ["▁".to_owned()].into_iter().chain(('a'..='z').map(String::from));
    let pairs = ('a'..='z').flat_map(|a| ('a'..='z').map(move |b| format!("{a}{b}")));
    let words = letters.chain(pairs).map(|text| (text, 1));
    let all = control.into_iter().chain(bytes.filter(|_| n_vocab > 256)).chain(words);
    all.take(n_vocab).collect()
}

/// `tokenizer.model` before Llama 3: a protobuf message.
pub(super) fn sentencepiece(n_vocab: usize) -> Vec<u8> {
    let mut model = Vec::new();
    for (rank, (text, kind)) in pieces(n_vocab).into_iter().enumerate() {
        let score = (-(rank as f32)).to_le_bytes();
        let text = [&[0x0a, text.len() as u8], text.as_bytes()].concat();
        let piece = [&text[..], &[0x15], &score, &[0x18, kind]].concat();
        model.extend([&[0x0a, piece.len() as u8], &piece[..]].concat());
    }
    // The trainer's settings: byte-pair encoding, and the ids of <unk>, <s> and </s>. The normalizer's: a space first.
    model.extend([0x12, 11, 0x18, 2, 0xc0, 0x02, 0, 0xc8, 0x02, 1, 0xd0, 0x02, 2]);
    model.extend([0x1a, 2, 0x18, 1]);
    model
}

/// Llama 3's `tokenizer.model`.
pub(super) fn tiktoken() -> Vec<u8> {
    let words = ["ab", "abc", " a", "bc", "cd", "abcd", " ab", " abc"].map(|word| word.as_bytes().to_vec());
    let tokens = (0..=u8::MAX).map(|byte| vec![byte]).chain(words);
    tiktoken::file(tokens.take(N_VOCAB - N_SPECIAL)).into_bytes()
}

/// `config.json` of a model with [`tensors`].
pub(super) fn config(n_vocab: usize) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": DIM, "intermediate_size": FFN_DIM,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": DIM / 2,
        "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 1e4, "sliding_window": null,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192},
        "bos_token_id": 1, "eos_token_id": [2], "tie_word_embeddings": false, "vocab_size": n_vocab,
    })
}

/// `model.safetensors` with [`tensors`] under Hugging Face's names.
pub(super) fn safetensors(n_vocab: usize) -> Vec<u8> {
    const NAMES: [(&str, &str); 12] = [
        ("tok_embeddings", "model.embed_tokens"),
        ("output", "lm_head"),
        ("norm", "model.norm"),
        ("attention_norm", "input_layernorm"),
        ("wq", "self_attn.q_proj"),
        ("wk", "self_attn.k_proj"),
        ("wv", "self_attn.v_proj"),
        ("wo", "self_attn.o_proj"),
        ("ffn_norm", "post_attention_layernorm"),
        ("w1", "mlp.gate_proj"),
        ("w2", "mlp.down_proj"),
        ("w3", "mlp.up_proj"),
    ];
    let mut header = json!({"__metadata__": {"format": "pt"}});
    let mut numbers = Vec::new();
    for tensor in tensors(n_vocab) {
        let meta = tensor.name.split('.').rev().nth(1).unwrap_or_default();
        let name = NAMES.iter().find(|(known, _)| *known == meta).map_or(meta, |(_, name)| name);
        let layer = if tensor.name.starts_with("layers.") { "model.layers.0." } else { "" };
        let start = numbers.len();
        numbers.extend(Dtype::Bf16.bytes(&tensor.values));
        header[format!("{layer}{name}.weight")] =
            json!({"dtype": "BF16", "shape": tensor.shape, "data_offsets": [start, numbers.len()]});
    }
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &numbers].concat()
}

/// `tokenizer.json` of SentencePiece's kind.
pub(super) fn tokenizer_json(n_vocab: usize) -> Value {
    let pieces = pieces(n_vocab);
    let id = |(id, (text, _)): (usize, &(String, u8))| (text.clone(), json!(id));
    let vocab: serde_json::Map<_, _> = pieces.iter().enumerate().map(id).collect();
    let pair = |text: &str| text.chars().count() == 2 && text.is_ascii();
    let pairs = pieces.iter().filter(|(text, kind)| *kind == 1 && pair(text));
    let merges: Vec<_> = pairs.map(|(text, _)| format!("{} {}", &text[..1], &text[1..])).collect();
    let added = |id: usize| json!({"id": id, "content": pieces[id].0, "special": true, "normalized": false});
    json!({
        "version": "1.0",
        "added_tokens": [added(0), added(1), added(2)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
        ]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocab,
            "merges": merges},
    })
}

/// `tokenizer.json` of the byte-level kind, from the keys that a conversion of [`tiktoken`] gives.
pub(super) fn byte_level_json(keys: &gguf::Metadata) -> Value {
    let list = |key: &str| -> Vec<String> {
        let strings = keys.strings(key).ok().flatten().expect("a byte-level vocabulary");
        strings.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    };
    let (tokens, merges) = (list("tokenizer.ggml.tokens"), list("tokenizer.ggml.merges"));
    let (normal, special) = tokens.split_at(tokens.len() - N_SPECIAL);
    let vocab: serde_json::Map<_, _> =
        normal.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let added =
        |(i, token): (usize, &String)| json!({"id": normal.len() + i, "content": token, "special": true});
    json!({
        "version": "1.0",
        "added_tokens": special.iter().enumerate().map(added).collect::<Vec<_>>(),
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "model": {"type": "BPE", "ignore_merges": true, "vocab": vocab, "merges": merges},
    })
}

/// Chat templates: those that the converter writes, and parts of the language that they do not use.
pub(super) fn templates() -> Vec<&'static str> {
    vec![
        convert::LLAMA2_CHAT_TEMPLATE,
        convert::LLAMA3_CHAT_TEMPLATE,
        "{% macro turn(m, last=false) %}{{ m.role|title ~ ': ' ~ m.content|trim }}{% endmacro %}\
         {% for m in messages if m.role != 'system' %}{{ turn(m, loop.last) }}{% else %}none{% endfor %}",
        "{% set ns = namespace(text='', n=0) %}{% for m in messages %}{% if loop.index0 % 2 == 1 %}{% continue %}\
         {% elif ns.n > 3 %}{% break %}{% endif %}{% set ns.n = ns.n + 1 %}{% set ns.text = ns.text + m['content'][:2] %}\
         {% endfor %}{{ ns.text|upper|replace('a', 'b') }}{{ bos_token }}",
        "{%- if messages[0]['role'] == 'tool' %}{{- raise_exception('no ' + messages[0].content.split(' ')|join('-')) }}\
         {%- endif %}{{ messages|length }}{{ {'a': [1, 2.5, none]}|tojson }}{{ range(3)|list }}{{ strftime_now('%d %b %Y') }}",
        "{# a #}{{ ('x' * 3).strip().startswith('x') and not messages is defined or messages[-1].items()|sort }}{{ 7 // 2 ** 3 }}",
    ]
}
