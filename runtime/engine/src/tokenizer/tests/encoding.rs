//! SentencePiece against llama.cpp's vectors, by hand, and against a reference that is slow and obvious.

use super::*;
use std::collections::HashMap;

#[test]
fn llama2_vectors_are_exact_both_ways() {
    let Some(tokenizer) = llama2() else { return };
    vectors_hold(&tokenizer, "ggml-vocab-llama-spm.gguf");
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
