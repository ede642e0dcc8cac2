//! What a file says of its tokens: which begin and end a text, and what is wrong with bad files.

use super::*;
use gguf::Value;

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
        (|m| m.set("tokenizer.ggml.model", "bert"), "its tokenizer is `bert`"),
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
