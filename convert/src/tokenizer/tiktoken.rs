//! Llama 3's `tokenizer.model`: tiktoken's text.
//!
//! A line is a token in base64 and its rank. The file knows no merges: tiktoken joins whichever neighbours make the token
//! of the lowest rank. GGUF's `gpt2` vocabularies list merges, so every way in which two tokens make a third becomes
//! one, in the order of what is made, and then of what it is made of: the first merge that fits is then tiktoken's.
//!
//! Tokens are bytes, GGUF's are text: as GPT-2 did it, a byte without a visible character stands as one from 256 on.
//! The special tokens stand in Meta's program instead of the file. They follow the others, 256 of them.

use super::{Kind, Scheme, Token, Vocabulary};
use crate::Error;
use std::collections::HashMap;
use std::path::Path;

/// Llama 3's longest is 128 spaces. What all splits of all tokens cost grows with the square.
const MAX_TOKEN_BYTES: usize = 128;

/// Llama 3 has 280 147. A file of tokens that are all substrings of each other would have a hundred times that.
const MAX_MERGES: usize = 1 << 19;

/// Special tokens, named and reserved.
const N_SPECIAL: u32 = 256;

/// What Llama 3 and its successors call the special tokens: places after the last token of the file, and names.
/// Reserved ones fill the gaps, numbered through. The names are those of Hugging Face's form of the tokenizer, and so of
/// every GGUF made of it; Meta's own program since 3.1 calls the sixth `<|step_id|>`, and numbers what is reserved after
/// it one lower.
const LLAMA_3: &[(u32, &str)] = &[
    (BEGIN_OF_TEXT, "begin_of_text"),
    (END_OF_TEXT, "end_of_text"),
    (6, "start_header_id"),
    (7, "end_header_id"),
    (END_OF_TURN, "eot_id"),
];
const LLAMA_3_1: &[(u32, &str)] =
    &[(4, "finetune_right_pad_id"), (END_OF_MESSAGE, "eom_id"), (10, "python_tag")];

const BEGIN_OF_TEXT: u32 = 0;
const END_OF_TEXT: u32 = 1;
const END_OF_MESSAGE: u32 = 8;
const END_OF_TURN: u32 = 9;

/// What the tokenizer's file does not tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Release {
    /// Llama 3.1 or later.
    pub(crate) later: bool,
    /// Trained to take turns: it ends a turn, not the text.
    pub(crate) instruct: bool,
}

/// Parses and checks the file's text.
pub(super) fn parse(path: &Path, text: &[u8], release: Release) -> Result<Vocabulary, Error> {
    let mut tokens = Vec::new();
    for (n, line) in text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n').enumerate() {
        let token = parse_line(line, n)
            .map_err(|problem| Error::malformed(path, format_args!("line {}", n + 1), problem))?;
        tokens.push(token);
    }
    let mut ranks = HashMap::with_capacity(tokens.len());
    for (rank, token) in (0u32..).zip(&tokens) {
        if let Some(first) = ranks.insert(token.as_slice(), rank) {
            let problem = format!("the token of line {} stands here again", first + 1);
            return Err(Error::malformed(path, format_args!("line {}", rank + 1), problem));
        }
    }
    if let Some(byte) = (0..=u8::MAX).find(|&byte| !ranks.contains_key([byte].as_slice())) {
        let problem =
            format!("no token is the byte {byte:#04x} alone, without which not every text has tokens");
        return Err(Error::unfit(
            path,
            problem + "; the file was cut short, or is no tokenizer of a Llama 3",
        ));
    }
    let merges = merges(&tokens, &ranks).ok_or_else(|| {
        Error::unfit(
            path,
            format!("its tokens make more than {MAX_MERGES} merges: it is no tokenizer of a Llama 3"),
        )
    })?;
    Ok(vocabulary(&tokens, &merges, release))
}

/// The keys' values, as llama.cpp's converters find them in Hugging Face's form of this tokenizer. `merges`: the ranks of
/// the halves.
fn vocabulary(tokens: &[Vec<u8>], merges: &[[u32; 2]], release: Release) -> Vocabulary {
    let normal = tokens.iter().map(|token| (visible(token), Kind::Normal));
    let special = special_tokens(release.later).map(|name| (name, Kind::Control));
    let token = |(text, kind): (String, Kind)| Token { text: text.into_bytes(), score: 0.0, kind };
    let merge = |halves: &[u32; 2]| {
        let [left, right] = halves.map(|rank| visible(&tokens[rank as usize]));
        format!("{left} {right}")
    };
    let id = |place: u32| tokens.len() as u32 + place;
    let mut ids = vec![
        ("bos", id(BEGIN_OF_TEXT)),
        ("eos", id(if release.instruct { END_OF_TURN } else { END_OF_TEXT })),
        ("eot", id(END_OF_TURN)),
    ];
    if release.later {
        ids.push(("eom", id(END_OF_MESSAGE)));
    }
    Vocabulary {
        scheme: Scheme::ByteLevel { pre: "llama-bpe", merges: merges.iter().map(merge).collect() },
        tokens: normal.chain(special).map(token).collect(),
        special: ids,
        add_bos: Some(true),
        add_eos: None,
        add_space_prefix: None,
    }
}

/// Whether this is the text of such a file: its first line ends in a space and a number.
pub(super) fn is_tiktoken(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let rank = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    rank.len() < line.len() && !rank.is_empty() && rank.iter().all(u8::is_ascii_digit)
}

/// The token of line `n`, whose rank must be `n`.
fn parse_line(line: &[u8], n: usize) -> Result<Vec<u8>, String> {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(token), Some(rank), None) = (words.next(), words.next(), words.next()) else {
        return Err(
            "a line is a token in base64, a space and its rank; the file is damaged: download it again"
                .into(),
        );
    };
    if rank != n.to_string().as_bytes() {
        let rank = String::from_utf8_lossy(&rank[..rank.len().min(20)]).escape_debug().to_string();
        return Err(format!("its rank is `{rank}`, not {n}: ranks count the lines; the file is damaged"));
    }
    match base64(token) {
        None => Err("its token is no base64; the file is damaged: download it again".into()),
        Some(token) if token.is_empty() || token.len() > MAX_TOKEN_BYTES => {
            Err(format!("its token has {} bytes; tokens have 1 to {MAX_TOKEN_BYTES}", token.len()))
        }
        Some(token) => Ok(token),
    }
}

/// Decodes base64 with its padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        Some(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        })
    };
    let (quads, rest) = text.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(quads.len() * 3);
    for (i, quad) in quads.iter().enumerate() {
        let n_padding = quad.iter().rev().take_while(|&&byte| byte == b'=').count();
        if n_padding > 2 || (n_padding > 0 && i + 1 < quads.len()) {
            return None;
        }
        let mut bits = 0u32;
        for &byte in &quad[..4 - n_padding] {
            bits = bits << 6 | u32::from(digit(byte)?);
        }
        let [_, three @ ..] = (bits << (6 * n_padding)).to_be_bytes();
        let (taken, left) = three.split_at(3 - n_padding);
        if left.iter().any(|&byte| byte != 0) {
            return None;
        }
        bytes.extend(taken);
    }
    Some(bytes)
}

/// Every split of a token into two, by the token's rank, then the halves'. `None`: more than any Llama has.
fn merges(tokens: &[Vec<u8>], ranks: &HashMap<&[u8], u32>) -> Option<Vec<[u32; 2]>> {
    let mut merges = Vec::new();
    for token in tokens {
        let first = merges.len();
        merges.extend((1..token.len()).filter_map(|at| {
            let (left, right) = token.split_at(at);
            Some([*ranks.get(left)?, *ranks.get(right)?])
        }));
        merges[first..].sort_unstable();
        if merges.len() > MAX_MERGES {
            return None;
        }
    }
    Some(merges)
}

/// Bytes as GPT-2 writes them: those with a visible Latin-1 character as it, the others, in order, from 256 on.
pub(super) fn visible(bytes: &[u8]) -> String {
    let character = |&byte: &u8| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => Some(char::from(byte)),
        0..=b' ' => char::from_u32(256 + u32::from(byte)),
        0x7f..=0xa0 => char::from_u32(256 + 33 + u32::from(byte) - 0x7f),
        0xad => char::from_u32(256 + 33 + 34),
    };
    bytes.iter().filter_map(character).collect()
}

/// The names, in order.
fn special_tokens(later: bool) -> impl Iterator<Item = String> {
    let mut n_reserved = 0;
    (0..N_SPECIAL).map(move |place| {
        let known = LLAMA_3.iter().chain(LLAMA_3_1.iter().filter(|_| later));
        match known.clone().find(|(at, _)| *at == place) {
            Some((_, name)) => format!("<|{name}|>"),
            None => {
                n_reserved += 1;
                format!("<|reserved_special_token_{}|>", n_reserved - 1)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_strict() {
        let cases: [(&str, Option<&[u8]>); 11] = [
            ("", Some(b"")),
            ("IQ==", Some(b"!")),
            ("IGE=", Some(b" a")),
            ("YWJj", Some(b"abc")),
            ("+/+/", Some(b"\xfb\xff\xbf")),
            ("YWJjIQ==", Some(b"abc!")),
            ("IQ=", None),
            ("IR==", None),
            ("I===", None),
            ("IQ==YWJj", None),
            ("Y JJ", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(base64(text.as_bytes()).as_deref(), bytes, "{text}");
        }
    }

    #[test]
    fn special_tokens_have_the_names_of_their_release() {
        let (old, new): (Vec<_>, Vec<_>) = (special_tokens(false).collect(), special_tokens(true).collect());
        let cases = [
            (0, "<|begin_of_text|>", "<|begin_of_text|>"),
            (1, "<|end_of_text|>", "<|end_of_text|>"),
            (2, "<|reserved_special_token_0|>", "<|reserved_special_token_0|>"),
            (4, "<|reserved_special_token_2|>", "<|finetune_right_pad_id|>"),
            (5, "<|reserved_special_token_3|>", "<|reserved_special_token_2|>"),
            (6, "<|start_header_id|>", "<|start_header_id|>"),
            (7, "<|end_header_id|>", "<|end_header_id|>"),
            (8, "<|reserved_special_token_4|>", "<|eom_id|>"),
            (9, "<|eot_id|>", "<|eot_id|>"),
            (10, "<|reserved_special_token_5|>", "<|python_tag|>"),
            (11, "<|reserved_special_token_6|>", "<|reserved_special_token_3|>"),
            (255, "<|reserved_special_token_250|>", "<|reserved_special_token_247|>"),
        ];
        for (place, before, since) in cases {
            assert_eq!((&*old[place], &*new[place]), (before, since), "{place}");
        }
    }
}
