//! Byte-level BPE against llama.cpp's vectors, by hand, and against a reference that is slow and obvious.

use super::*;

/// The bytes as tokens 0 to 255 in the order of their letters, then what the merges make, then `<|end|>` as control
/// and `<mark>` as user-defined.
fn byte_level(pre: Option<&str>, extra: &[&str], merges: &[&str]) -> Metadata {
    let letters = ('\0'..='\u{143}').filter(|&letter| byte_letters::byte_of(letter).is_some());
    let (mut names, mut types, mut list) = (Strings::default(), Vec::new(), Strings::default());
    let mut add = |name: &str, ty: i32| {
        names.push(name.as_bytes());
        types.push(ty);
    };
    letters.for_each(|letter| add(letter.encode_utf8(&mut [0; 4]), NORMAL));
    merges.iter().for_each(|merge| add(&merge.replace(' ', ""), NORMAL));
    extra.iter().for_each(|name| add(name, NORMAL));
    add("<|end|>", CONTROL);
    add("<mark>", USER_DEFINED);
    merges.iter().for_each(|merge| list.push(merge.as_bytes()));
    let mut metadata = Metadata::default();
    metadata.set("tokenizer.ggml.model", "gpt2");
    if let Some(pre) = pre {
        metadata.set("tokenizer.ggml.pre", pre);
    }
    metadata.set("tokenizer.ggml.tokens", names);
    metadata.set("tokenizer.ggml.token_type", types);
    metadata.set("tokenizer.ggml.merges", list);
    metadata
}

const MERGES: [&str; 6] = ["a b", "b a", "a a", "ab a", "Ġ ab", "Ã ©"];

/// The texts of tokens, control tokens too.
fn texts(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<String> {
    tokens.iter().map(|&token| String::from_utf8_lossy(tokenizer.bytes(token, true)).into_owned()).collect()
}

#[test]
fn text_becomes_these_tokens() {
    for (pre, text, special, expected) in [
        ("gpt-2", "", true, &[][..]),
        ("gpt-2", "abab", false, &["ab", "ab"]),
        ("gpt-2", "baa", false, &["ba", "a"]),
        ("gpt-2", "aba ab", false, &["aba", " ab"]),
        ("gpt-2", "é", false, &["é"]),
        ("gpt-2", "bbab", false, &["b", "b", "ab"]),
        ("gpt-2", "bbb", false, &["b", "b", "b"]),
        // No merge leads to it, but it is a token.
        ("llama-bpe", "bbb", false, &["bbb"]),
        ("llama-bpe", "bbba", false, &["b", "b", "ba"]),
        ("llama-bpe", "a<mark>b", false, &["a", "<mark>", "b"]),
        ("llama-bpe", "a<|end|>", true, &["a", "<|end|>"]),
        ("llama-bpe", "<|end|>", false, &["<", "|", "e", "n", "d", "|", ">"]),
    ] {
        let tokenizer = tokenizer(&byte_level(Some(pre), &["bbb"], &MERGES));
        let tokens = tokenizer.encode(text, special);
        assert_eq!(texts(&tokenizer, &tokens), expected, "{pre} {text:?}");
        assert_eq!(tokenizer.decode(&tokens, true), text);
    }
}

#[test]
fn characters_come_out_whole() {
    let tokenizer = tokenizer(&byte_level(None, &[], &[]));
    let text = " é😀\u{0}\u{ad}\n";
    let tokens = tokenizer.encode(text, false);
    assert_eq!(tokens.len(), text.len());
    let mut decoder = TextDecoder::default();
    let pieces: Vec<String> =
        tokens.iter().map(|&token| decoder.push(&tokenizer, token).to_owned()).collect();
    assert_eq!(pieces, [" ", "", "é", "", "", "", "😀", "\0", "", "\u{ad}", "\n"]);
    assert_eq!(tokenizer.decode(&tokens[..4], false), " é\u{fffd}");
}

#[test]
fn merging_is_as_by_hand() {
    let tokenizer = tokenizer(&byte_level(Some("gpt-2"), &[], &MERGES));
    let rank = |pair: &[String]| {
        MERGES.iter().position(|merge| merge.replace('Ġ', " ").replace("Ã ©", "é") == pair.join(" "))
    };
    let mut random = Random(5);
    for _ in 0..2000 {
        let text = random.text(&['a', 'b'], 14);
        let mut parts: Vec<String> = text.chars().map(String::from).collect();
        while let Some((_, at)) =
            parts.windows(2).enumerate().filter_map(|(at, pair)| Some((rank(pair)?, at))).min()
        {
            let right = parts.remove(at + 1);
            parts[at] += &right;
        }
        assert_eq!(texts(&tokenizer, &tokenizer.encode(&text, false)), parts, "{text}");
    }
}

/// A scan of the whole piece for each merge would not come to an end here.
#[test]
fn a_word_of_a_million_letters_is_no_burden() {
    let tokenizer = tokenizer(&byte_level(Some("llama-bpe"), &[], &["a a", "aa aa", "aaaa aaaa"]));
    let text = "a".repeat(1_000_003);
    let tokens = tokenizer.encode(&text, false);
    assert_eq!(tokens.len(), 125_000 + 2);
    assert_eq!(tokenizer.decode(&tokens, false), text);
}

#[test]
fn bos_comes_where_the_models_were_trained_so() {
    for (pre, add_bos, expected) in [
        (Some("llama-bpe"), None, vec![3, 7]),
        (Some("llama-bpe"), Some(false), vec![7]),
        (Some("gpt-2"), None, vec![7]),
        (Some("qwen2"), None, vec![7]),
        (None, Some(true), vec![3, 7]),
    ] {
        let mut metadata = byte_level(pre, &[], &[]);
        metadata.set("tokenizer.ggml.bos_token_id", 3u32);
        if let Some(add_bos) = add_bos {
            metadata.set("tokenizer.ggml.add_bos_token", add_bos);
        }
        assert_eq!(tokenizer(&metadata).with_bos(vec![7]), expected, "{pre:?}");
    }
}

/// SentencePiece's ids of old mean nothing here; the end of a turn is known by key and by name.
#[test]
fn these_tokens_end_a_turn() {
    let mut metadata = byte_level(Some("llama-bpe"), &[], &[]);
    assert_eq!((tokenizer(&metadata).bos(), tokenizer(&metadata).eos()), (None, None));
    metadata.set("tokenizer.ggml.eos_token_id", 5u32);
    metadata.set("tokenizer.ggml.eot_token_id", 6u32);
    metadata.set("tokenizer.ggml.eom_token_id", 8u32);
    let tokenizer = tokenizer(&metadata);
    let ends: Vec<u32> = (0..tokenizer.n_tokens() as u32).filter(|&id| tokenizer.is_end(id)).collect();
    assert_eq!(ends, [5, 6, 8, 256]);
}

#[test]
fn bad_merges_get_a_sentence() {
    type Change = fn(&mut Metadata);
    fn merges(metadata: &mut Metadata, merge: &[u8]) {
        let mut list = Strings::default();
        list.push(b"a b");
        list.push(merge);
        metadata.set("tokenizer.ggml.merges", list);
    }
    let cases: [(Change, &str); 11] = [
        (|m| drop(m.remove("tokenizer.ggml.merges")), "`tokenizer.ggml.merges` is missing"),
        (|m| m.set("tokenizer.ggml.merges", 7u32), "`tokenizer.ggml.merges`"),
        (|m| merges(m, b"ab"), "has `ab` in place 1, which is not two tokens"),
        (|m| merges(m, b""), "has `` in place 1, which is not two tokens"),
        (|m| merges(m, b" a"), "not two tokens"),
        (|m| merges(m, b"a b a"), "not two tokens"),
        (|m| merges(m, b"a \xff"), "has `a \\xff` in place 1, which is not two tokens"),
        (|m| merges(m, b"b b"), "of which a half or the whole is no token for text"),
        (|m| merges(m, b"<|end| >"), "no token for text"),
        (|m| m.set("tokenizer.ggml.pre", "other\u{7}"), "`tokenizer.ggml.pre` is `other\\u{7}`"),
        (|m| m.set("tokenizer.ggml.token_type", vec![CONTROL; 264]), "one for the byte 0x00"),
    ];
    for (change, expected) in cases {
        let mut metadata = byte_level(None, &[], &MERGES);
        change(&mut metadata);
        let error = Tokenizer::from_metadata(&metadata, Path::new("bad.gguf")).unwrap_err().to_string();
        assert!(error.starts_with("bad.gguf: ") && error.contains(expected), "{error}");
    }
}

/// Llama 3's vectors.
#[test]
fn llama3_vectors_are_exact_both_ways() {
    let Some(path) = vector("ggml-vocab-llama-bpe.gguf") else { return };
    let tokenizer = Tokenizer::from_gguf(&gguf::File::open(path).unwrap()).unwrap();
    assert!(tokenizer.is_end(128_001) && tokenizer.is_end(128_009), "<|end_of_text|> and <|eot_id|>");
    assert_eq!(vectors_hold(&tokenizer, "ggml-vocab-llama-bpe.gguf"), Some(46));
}
