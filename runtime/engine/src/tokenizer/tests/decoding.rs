//! Tokens to text, at once and as a stream.

use super::*;

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
