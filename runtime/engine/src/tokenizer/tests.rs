//! SentencePiece against llama.cpp's vectors, against a reference that is slow and obvious, and against bad files.

use super::*;
use gguf::{Metadata, Strings, Value};
use std::collections::HashMap;
use std::path::PathBuf;

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// `<unk> <s> </s>`, the bytes, then these: the first of them is token 259.
fn metadata(tokens: &[(&str, f32, i32)]) -> Metadata {
    let bytes: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
    let all = [("<unk>", 0.0, 2), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
        .into_iter()
        .chain(bytes.iter().map(|byte| (byte.as_str(), 0.0, 6)))
        .chain(tokens.iter().copied());
    let (mut names, mut scores, mut types) = (Strings::default(), Vec::new(), Vec::new());
    for (name, score, ty) in all {
        names.push(name.as_bytes());
        scores.push(score);
        types.push(ty);
    }
    let mut metadata = Metadata::default();
    metadata.set("tokenizer.ggml.model", "llama");
    metadata.set("tokenizer.ggml.tokens", names);
    metadata.set("tokenizer.ggml.scores", scores);
    metadata.set("tokenizer.ggml.token_type", types);
    metadata
}

fn tokenizer(metadata: &Metadata) -> Tokenizer {
    Tokenizer::from_metadata(metadata, Path::new("test.gguf")).unwrap()
}

/// Letters, words and marks that merge in more than one way, some with equal scores.
const SMALL: [(&str, f32, i32); 16] = [
    ("▁", -1.0, NORMAL),
    ("a", -2.0, NORMAL),
    ("b", -3.0, NORMAL),
    ("ab", -4.0, NORMAL),
    ("ba", -4.0, NORMAL),
    ("aa", -4.0, NORMAL),
    ("aba", -3.5, NORMAL),
    ("▁a", -6.0, NORMAL),
    ("▁ab", -1.5, NORMAL),
    ("▁▁", -5.0, NORMAL),
    ("é", -7.0, NORMAL),
    ("éa", -2.5, NORMAL),
    ("<pad>", 0.0, UNUSED),
    ("<tool>", 0.0, CONTROL),
    ("<tool>s", 0.0, CONTROL),
    ("<mark>", 0.0, USER_DEFINED),
];

/// One for chats: bytes and a few pieces.
pub(crate) fn chat_vocabulary() -> Tokenizer {
    tokenizer(&metadata(&SMALL))
}

/// The file of a vocabulary that is not shipped with the sources; `None`, which is said, where it is not there.
fn vector(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("LLAMITA_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let path = folder.join("vocab").join(file);
    if !path.exists() {
        use std::io::Write;
        // Past the capture of the test harness: a silent skip is no pass.
        let _ = writeln!(std::io::stderr(), "did not run: {file} is not in the folder LLAMITA_TEST_DATA");
        return None;
    }
    Some(path)
}

/// Llama 2's vocabulary.
pub(crate) fn llama2() -> Option<Tokenizer> {
    let path = vector("ggml-vocab-llama-spm.gguf")?;
    Some(Tokenizer::from_gguf(&gguf::File::open(path).unwrap()).unwrap())
}

#[test]
fn llama2_vectors_are_exact_both_ways() {
    let (Some(tokenizer), Some(texts), Some(ids)) =
        (llama2(), vector("ggml-vocab-llama-spm.gguf.inp"), vector("ggml-vocab-llama-spm.gguf.out"))
    else {
        return;
    };
    let texts = std::fs::read_to_string(texts).unwrap();
    let ids = std::fs::read_to_string(ids).unwrap();
    let texts: Vec<&str> =
        texts.strip_suffix("\n__ggml_vocab_test__\n").unwrap().split("\n__ggml_vocab_test__\n").collect();
    let lines: Vec<&str> = ids.lines().collect();
    assert_eq!(texts.len(), lines.len());
    for (text, line) in texts.iter().zip(lines) {
        let expected: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert_eq!(tokenizer.encode(text, false), expected, "{text:?}");
        assert_eq!(tokenizer.decode(&expected, false), *text);
    }
}

#[test]
fn text_becomes_these_tokens() {
    let tokenizer = tokenizer(&metadata(&SMALL));
    let id = |name: &str| 259 + SMALL.iter().position(|token| token.0 == name).unwrap() as u32;
    let byte = |byte: u8| 3 + u32::from(byte);
    for (text, special, expected) in [
        ("", true, vec![]),
        (" ", false, vec![id("▁▁")]),
        ("▁", false, vec![id("▁▁")]),
        ("ab", false, vec![id("▁ab")]),
        // The leftmost of equals: ab, ba, aa all score -4. Then ▁ab.
        ("abaa", false, vec![id("▁ab"), id("aa")]),
        ("bab", false, vec![id("▁"), id("ba"), id("b")]),
        ("éa", false, vec![id("▁"), id("éa")]),
        ("è", false, vec![id("▁"), byte(0xC3), byte(0xA8)]),
        // Control tokens only if asked for; the longest; a word begins after each.
        ("<s>ab", true, vec![1, id("▁ab")]),
        ("<tool>s", true, vec![id("<tool>s")]),
        ("b<tool>b", true, vec![id("▁"), id("b"), id("<tool>"), id("▁"), id("b")]),
        ("</s><s>", true, vec![2, 1]),
        ("<unk>", true, vec![0]),
        // A user-defined token either way.
        ("b<mark>b", false, vec![id("▁"), id("b"), id("<mark>"), id("▁"), id("b")]),
        ("<mark>", true, vec![id("<mark>")]),
    ] {
        assert_eq!(tokenizer.encode(text, special), expected, "{text:?}, special: {special}");
    }
    for text in ["<s>", "<tool>", "<pad>", "<unk>", "<0x41>"] {
        let tokens = tokenizer.encode(text, false);
        assert_eq!(tokens.len(), 1 + text.len(), "{text} stays text: {tokens:?}");
        assert_eq!(tokenizer.decode(&tokens, false), text);
    }
    assert!(tokenizer.encode("<pad>", true).len() > 1, "an unused token is never made from text");
}

#[test]
fn no_merge_spells_a_control_token() {
    // "<s" and "s>" are pieces: a merge would only have to add one character.
    let tokenizer = tokenizer(&metadata(&[
        ("<", -1.0, NORMAL),
        ("s", -1.0, NORMAL),
        (">", -1.0, NORMAL),
        ("<s", -2.0, NORMAL),
    ]));
    assert_eq!(tokenizer.encode("<s>", false), [3 + 0x20, 262, 261]);
}

#[test]
fn control_tokens_have_text_only_if_asked() {
    let tokenizer = tokenizer(&metadata(&SMALL));
    let id = |name: &str| 259 + SMALL.iter().position(|token| token.0 == name).unwrap() as u32;
    for (tokens, special, expected) in [
        (vec![1, id("▁ab"), 2], false, "ab"),
        (vec![1, id("▁ab"), 2], true, "<s>ab</s>"),
        (vec![id("▁ab"), 0, id("▁ab")], false, "ab ab"),
        (vec![id("▁▁"), id("<tool>"), id("<pad>")], true, " <tool><pad>"),
        (vec![id("<mark>"), id("▁a")], false, "<mark> a"),
        (vec![id("ab"), 3 + 0xC3], false, "ab\u{FFFD}"),
        (vec![u32::MAX, 9999], true, ""),
        (vec![], true, ""),
    ] {
        assert_eq!(tokenizer.decode(&tokens, special), expected);
    }
    assert_eq!(tokenizer.bytes(3, false), [0]);
    assert_eq!(tokenizer.bytes(id("▁ab"), false), b" ab");
}

/// Merges the best pair, looks at all of them again, until there is none.
fn slow_encode(metadata: &Metadata, text: &str, prefix: bool) -> Vec<u32> {
    let names = metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap();
    let scores = metadata.floats("tokenizer.ggml.scores").unwrap().unwrap();
    let types = metadata.ints("tokenizer.ggml.token_type").unwrap().unwrap();
    let mut ids = HashMap::new();
    for (id, name) in names.iter().enumerate() {
        if types[id] == NORMAL {
            ids.entry(std::str::from_utf8(name).unwrap().to_owned()).or_insert(id);
        }
    }
    let text = format!("{}{text}", if prefix && !text.is_empty() { "▁" } else { "" }).replace(' ', "▁");
    let mut symbols: Vec<String> = text.chars().map(String::from).collect();
    loop {
        let mut best: Option<(f32, usize)> = None;
        for left in 1..symbols.len() {
            if let Some(&id) = ids.get(&format!("{}{}", symbols[left - 1], symbols[left]))
                && best.is_none_or(|(score, _)| scores[id] > score)
            {
                best = Some((scores[id], left - 1));
            }
        }
        let Some((_, left)) = best else { break };
        let right = symbols.remove(left + 1);
        symbols[left].push_str(&right);
    }
    let mut tokens = Vec::new();
    for symbol in symbols {
        match ids.get(&symbol) {
            Some(&id) => tokens.push(id as u32),
            None => tokens.extend(symbol.bytes().map(|byte| 3 + u32::from(byte))),
        }
    }
    tokens
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn text(&mut self, alphabet: &[char], n_most: usize) -> String {
        (0..self.below(n_most + 1)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

#[test]
fn equals_the_slow_reference() {
    let alphabet = ['a', 'b', ' ', 'é', 'è', '\n', 'a', 'b'];
    let mut crossing = SMALL.to_vec();
    // With a space inside a piece, merges reach over the start of a word.
    crossing.extend([("b▁", -2.0, NORMAL), ("a▁b", -0.5, NORMAL), ("b▁a", -0.5, NORMAL)]);
    // Scores that are no numbers, and a piece that is there twice.
    let mut strange = crossing.clone();
    strange.extend([("ab", 9.0, NORMAL), ("bb", f32::NEG_INFINITY, NORMAL), ("abab", f32::INFINITY, NORMAL)]);
    let mut random = Random(5);
    for tokens in [SMALL.to_vec(), crossing, strange] {
        let mut metadata = metadata(&tokens);
        for prefix in [true, false] {
            metadata.set("tokenizer.ggml.add_space_prefix", prefix);
            let tokenizer = tokenizer(&metadata);
            for _ in 0..2000 {
                let text = random.text(&alphabet, 40);
                assert_eq!(tokenizer.encode(&text, true), slow_encode(&metadata, &text, prefix), "{text:?}");
            }
        }
    }
}

#[test]
fn llama2_equals_the_slow_reference() {
    let (Some(tokenizer), Some(path)) = (llama2(), vector("ggml-vocab-llama-spm.gguf")) else { return };
    let file = gguf::File::open(path).unwrap();
    let alphabet: Vec<char> = "the quick  brown fox\n\t(x) 123 ÄäßéжЯ中文🦙 ing ation er".chars().collect();
    let mut random = Random(8);
    for _ in 0..60 {
        let text = random.text(&alphabet, 60);
        assert_eq!(tokenizer.encode(&text, false), slow_encode(file.metadata(), &text, true), "{text:?}");
    }
}

#[test]
fn any_text_comes_back() {
    let mut tokenizers = vec![tokenizer(&metadata(&SMALL))];
    let mut no_prefix = metadata(&SMALL);
    no_prefix.set("tokenizer.ggml.add_space_prefix", false);
    tokenizers.push(tokenizer(&no_prefix));
    tokenizers.extend(llama2());
    let mut random = Random(21);
    for tokenizer in &tokenizers {
        for _ in 0..500 {
            let text: String = (0..random.below(50))
                .filter_map(|_| {
                    let most = [0x80, 0x800, 0x1_0000, 0x11_0000][random.below(4)];
                    char::from_u32(random.below(most) as u32)
                })
                .filter(|&c| c != '▁') // which is a space to SentencePiece
                .collect();
            assert_eq!(tokenizer.decode(&tokenizer.encode(&text, false), false), text);
        }
    }
}

/// A tokenizer that looks at everything again after each merge would take hours for these.
#[test]
fn long_texts_end() {
    let tokenizer = llama2().unwrap_or_else(|| tokenizer(&metadata(&SMALL)));
    for text in ["a".repeat(400_000), " ".repeat(400_000), "<s".repeat(200_000), "ab é".repeat(100_000)] {
        let tokens = tokenizer.encode(&text, true);
        assert!(tokenizer.decode(&tokens, true) == text, "{}…", &text[..8]);
    }
}

#[test]
fn bos_comes_first_and_once() {
    for (add_bos, bos, tokens, expected) in [
        (None, None, vec![], vec![1]),
        (None, None, vec![5, 1], vec![1, 5, 1]),
        (None, None, vec![1, 5], vec![1, 5]),
        (Some(true), Some(7), vec![1], vec![7, 1]),
        (Some(false), None, vec![5], vec![5]),
        (Some(true), Some(u32::MAX), vec![5], vec![5]),
    ] {
        let mut metadata = metadata(&SMALL);
        if let Some(add_bos) = add_bos {
            metadata.set("tokenizer.ggml.add_bos_token", add_bos);
        }
        if let Some(bos) = bos {
            metadata.set("tokenizer.ggml.bos_token_id", bos);
        }
        metadata.set("tokenizer.ggml.add_eos_token", true);
        assert_eq!(tokenizer(&metadata).with_bos(tokens), expected, "{add_bos:?} {bos:?}");
    }
}

#[test]
fn these_tokens_end_a_turn() {
    let mut metadata = metadata(&[
        ("<|im_end|>", 0.0, USER_DEFINED),
        ("<|eot_id|>", 0.0, CONTROL),
        ("<stop>", 0.0, CONTROL),
        ("<pause>", 0.0, CONTROL),
        ("<end_of_turn>", 0.0, NORMAL),
    ]);
    metadata.set("tokenizer.ggml.eom_token_id", 261u32);
    let tokenizer = tokenizer(&metadata);
    let ends: Vec<u32> = (0..tokenizer.n_tokens() as u32).filter(|&id| tokenizer.is_end(id)).collect();
    assert_eq!(ends, [2, 259, 260, 261]);
    assert_eq!(tokenizer.eos(), Some(2));
    assert!(!tokenizer.encode("<|im_end|>", false).contains(&259), "what ends a turn cannot be typed");
    assert_eq!(tokenizer.encode("<|im_end|>", true), [259]);
}

#[test]
fn a_vocabulary_without_bytes_has_the_unknown_token() {
    let mut metadata = metadata(&[]);
    let mut names = Strings::default();
    for name in ["<unk>", "▁", "a"] {
        names.push(name.as_bytes());
    }
    metadata.set("tokenizer.ggml.tokens", names);
    metadata.set("tokenizer.ggml.scores", vec![0.0f32, -1.0, -2.0]);
    metadata.set("tokenizer.ggml.token_type", vec![2i32, 1, 1]);
    let tokenizer = tokenizer(&metadata);
    assert_eq!(tokenizer.encode("aéa", false), [1, 2, 0, 2]);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (None, None));
    assert_eq!(tokenizer.with_bos(vec![2]), [2]);
}

#[test]
fn bad_vocabularies_get_a_sentence() {
    type Change = fn(&mut Metadata);
    let cases: [(Change, &str); 13] = [
        (|m| drop(m.remove("tokenizer.ggml.model")), "no tokenizer"),
        (|m| m.set("tokenizer.ggml.model", "gpt2"), "its tokenizer is `gpt2`"),
        (|m| m.set("tokenizer.ggml.model", 7u32), "`tokenizer.ggml.model`"),
        (|m| drop(m.remove("tokenizer.ggml.tokens")), "`tokenizer.ggml.tokens` is missing"),
        (|m| drop(m.remove("tokenizer.ggml.scores")), "`tokenizer.ggml.scores` is missing"),
        (|m| drop(m.remove("tokenizer.ggml.token_type")), "`tokenizer.ggml.token_type` is missing"),
        (|m| m.set("tokenizer.ggml.scores", vec![0.0f32; 3]), "has 3 entries"),
        (|m| m.set("tokenizer.ggml.token_type", vec![1i32; 3]), "has 3 entries"),
        (|m| m.set("tokenizer.ggml.token_type", vec![6i32; 275]), "is of the type byte"),
        (|m| m.set("tokenizer.ggml.token_type", vec![-1i32; 275]), "says -1 for token 0"),
        (|m| m.set("tokenizer.ggml.token_type", vec![1i32; 275]), "neither an unknown token nor"),
        (|m| m.set("tokenizer.ggml.eos_token_id", 275u32), "is 275, but the vocabulary has 275 tokens"),
        (
            |m| {
                m.set("tokenizer.ggml.tokens", Strings::default());
                m.set("tokenizer.ggml.scores", Vec::<f32>::new());
                m.set("tokenizer.ggml.token_type", Vec::<i32>::new());
            },
            "is empty",
        ),
    ];
    for (change, expected) in cases {
        let mut metadata = metadata(&SMALL);
        change(&mut metadata);
        let error = Tokenizer::from_metadata(&metadata, Path::new("bad.gguf")).unwrap_err().to_string();
        assert!(error.starts_with("bad.gguf: ") && error.contains(expected), "{error}");
    }
}

/// Pieces of arbitrary bytes, of all kinds, with ids that point anywhere.
#[test]
fn random_vocabularies_do_not_panic() {
    let mut random = Random(99);
    for _ in 0..500 {
        let n = 1 + random.below(40);
        let mut names = Strings::default();
        for _ in 0..n {
            let name: Vec<u8> = (0..random.below(4)).map(|_| b"a \xE2\x96\x81<"[random.below(6)]).collect();
            names.push(&name);
        }
        let mut metadata = metadata(&[]);
        metadata.set("tokenizer.ggml.tokens", names);
        metadata.set("tokenizer.ggml.scores", (0..n).map(|_| random.below(3) as f32).collect::<Vec<_>>());
        metadata.set("tokenizer.ggml.token_type", (0..n).map(|_| random.below(6) as i32).collect::<Vec<_>>());
        metadata.set("tokenizer.ggml.unknown_token_id", Value::U32(random.below(n) as u32));
        let tokenizer = tokenizer(&metadata);
        let text = random.text(&['a', ' ', '<', '▁', 'â', 'x'], 30);
        for special in [true, false] {
            let tokens = tokenizer.encode(&text, special);
            tokenizer.decode(&tokens, special);
            assert!(tokens.iter().all(|&id| (id as usize) < n));
        }
    }
}

#[test]
fn text_streams_in_whole_characters() {
    let tokenizer = tokenizer(&metadata(&SMALL));
    let mut random = Random(77);
    for _ in 0..2000 {
        // Bytes of characters, broken ones among them.
        let mut bytes = random.text(&['a', 'é', '中', '🦙'], 6).into_bytes();
        for _ in 0..random.below(3) {
            bytes.insert(random.below(bytes.len() + 1), [0xFF, 0x80, 0xE4, 0xF0, 0xC3][random.below(5)]);
        }
        let mut decoder = TextDecoder::default();
        let mut streamed = String::new();
        for &byte in &bytes {
            streamed.push_str(decoder.push(&tokenizer, 3 + u32::from(byte)));
        }
        streamed.push_str(decoder.finish());
        assert_eq!(streamed, String::from_utf8_lossy(&bytes), "{bytes:x?}");
    }
}

#[test]
fn a_continued_text_keeps_its_first_space() {
    let tokenizer = tokenizer(&metadata(&SMALL));
    let ab = tokenizer.encode("ab", false)[0];
    assert_eq!(TextDecoder::default().push(&tokenizer, ab), " ab");
    let mut whole = TextDecoder::whole_text(false);
    assert_eq!(whole.push(&tokenizer, 1), "");
    assert_eq!(whole.push(&tokenizer, ab), "ab");
    assert_eq!(whole.push(&tokenizer, ab), " ab");
    let mut split = TextDecoder::default();
    assert_eq!(split.push(&tokenizer, 3 + 0xC3), "");
    assert_eq!(split.push(&tokenizer, 3 + 0xA9), "é");
    assert_eq!(split.push(&tokenizer, 3 + 0xC3), "");
    assert_eq!(split.finish(), "\u{FFFD}");
    assert_eq!(split.finish(), "");
}
