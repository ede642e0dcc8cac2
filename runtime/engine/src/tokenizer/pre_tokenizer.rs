//! Where byte-level BPE cuts a text before it merges: no token reaches over a cut.
//!
//! Each model was trained with a regular expression that finds these cuts, and GGUF names it in `tokenizer.ggml.pre`.
//! They are written out by hand here: they look ahead, which the regular expressions that take linear time do not,
//! and by hand each byte is looked at a fixed number of times. The expression stands above its function.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// A rule by which a text is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PreTokenizer {
    /// GPT-2's.
    Gpt2,
    /// Llama 3's and Qwen 2's, which differ in how many digits stay together.
    Modern {
        /// Digits of one piece.
        n_digits: usize,
    },
    /// llama.cpp's for files that name none.
    Default,
}

impl PreTokenizer {
    /// By the name under `tokenizer.ggml.pre`.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gpt-2" => Self::Gpt2,
            "llama-bpe" | "llama3" | "llama-v3" => Self::LLAMA_3,
            "qwen2" => Self::Modern { n_digits: 1 },
            "default" => Self::Default,
            _ => return None,
        })
    }

    /// Llama 3's.
    pub(super) const LLAMA_3: Self = Self::Modern { n_digits: 3 };

    /// Hands the pieces of `text` to `each`, in order; together they are the text.
    pub(super) fn split<'t>(self, text: &'t str, mut each: impl FnMut(&'t str)) {
        match self {
            Self::Gpt2 => pieces(text, gpt2, each),
            Self::Modern { n_digits } => pieces(text, |rest| modern(rest, n_digits), each),
            Self::Default => pieces(text, punctuation, |run| {
                pieces(run, gpt2, |word| {
                    pieces(word, numbers, |part| pieces(part, ascii_triples, &mut each));
                });
            }),
        }
    }
}

/// Cuts `text` where `first` says: the bytes of the first piece of a text that is not empty, never 0.
fn pieces<'t>(text: &'t str, first: impl Fn(&str) -> usize, mut each: impl FnMut(&'t str)) {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(first(rest));
        each(piece);
        rest = after;
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
fn gpt2(text: &str) -> usize {
    if let Some(n_bytes) = contraction(text, |a, b| a == b) {
        return n_bytes;
    }
    let space = usize::from(text.starts_with(' '));
    let after = &text[space..];
    match after.chars().next().map(Class::of) {
        None | Some(Class::Space) => spaces(text),
        Some(class) => space + run(after, |c| Class::of(c) == class),
    }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
fn modern(text: &str, n_digits: usize) -> usize {
    // ſ is the one character beyond ASCII that is an s, or any other of these letters, where case does not count.
    if let Some(n_bytes) = contraction(text, |a, b| a.eq_ignore_ascii_case(&b) || (a, b) == ('ſ', 's')) {
        return n_bytes;
    }
    let first = text.chars().next().unwrap_or_default();
    let (class, is_newline) = (Class::of(first), matches!(first, '\r' | '\n'));
    let lead =
        if is_newline || matches!(class, Class::Letter | Class::Number) { 0 } else { first.len_utf8() };
    let n_letters = run(&text[lead..], |c| Class::of(c) == Class::Letter);
    if n_letters > 0 {
        return lead + n_letters;
    }
    if class == Class::Number {
        let digits = text.chars().take(n_digits).take_while(|&c| Class::of(c) == Class::Number);
        return digits.map(char::len_utf8).sum();
    }
    let space = usize::from(first == ' ');
    let n_others = run(&text[space..], |c| Class::of(c) == Class::Other);
    if n_others > 0 {
        let end = space + n_others;
        return end + run(&text[end..], |c| matches!(c, '\r' | '\n'));
    }
    let n_spaces = run(text, char::is_whitespace);
    text[..n_spaces].rfind(['\r', '\n']).map_or_else(|| spaces(text), |newline| newline + 1)
}

/// `[\p{P}\$\+<=>\^~\|]+`, and what is between.
fn punctuation(text: &str) -> usize {
    alternating(text, |c| {
        matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '~' | '|')
            || c.general_category_group() == GeneralCategoryGroup::Punctuation
    })
}

/// `\p{N}+`, and what is between.
fn numbers(text: &str) -> usize {
    alternating(text, char::is_numeric)
}

/// `[0-9][0-9][0-9]`, and what is between.
fn ascii_triples(text: &str) -> usize {
    let is_triple = |three: &[u8]| three.iter().all(u8::is_ascii_digit);
    match text.as_bytes().windows(3).position(is_triple) {
        Some(0) => 3,
        Some(start) => start,
        None => text.len(),
    }
}

/// The run of characters that are like the first.
fn alternating(text: &str, is: impl Fn(char) -> bool) -> usize {
    let first = text.chars().next().is_some_and(&is);
    run(text, |c| is(c) == first)
}

/// `\s+(?!\S)|\s+`: a space before a word is left for the word.
fn spaces(text: &str) -> usize {
    let n_bytes = run(text, char::is_whitespace);
    let last = text[..n_bytes].chars().next_back().map_or(0, char::len_utf8);
    if n_bytes < text.len() && n_bytes > last { n_bytes - last } else { n_bytes }
}

/// Bytes of the short form of a verb or a genitive, as in `it's` and `they'll`.
fn contraction(text: &str, is_same: impl Fn(char, char) -> bool) -> Option<usize> {
    let tail = text.strip_prefix('\'')?;
    ["s", "t", "re", "ve", "m", "ll", "d"].iter().find_map(|form| {
        let mut letters = tail.chars();
        let mut n_bytes = 1;
        for wanted in form.chars() {
            let letter = letters.next().filter(|&letter| is_same(letter, wanted))?;
            n_bytes += letter.len_utf8();
        }
        Some(n_bytes)
    })
}

/// Bytes of the characters that `text` begins with and `is` holds for.
fn run(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is(c)).unwrap_or(text.len())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// `\p{L}`. `char::is_alphabetic` is another set: it has vowel signs and Roman numerals too.
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    Other,
}

impl Class {
    fn of(c: char) -> Self {
        if c.is_ascii_alphabetic() {
            Self::Letter
        } else if c.is_whitespace() {
            Self::Space
        } else if c.is_numeric() {
            Self::Number
        } else if !c.is_ascii() && c.general_category_group() == GeneralCategoryGroup::Letter {
            Self::Letter
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts() {
        for (name, text, expected) in [
            ("gpt-2", "it's It'S  we'll've", &["it", "'s", " It", "'", "S", " ", " we", "'ll", "'ve"][..]),
            ("gpt-2", "a1234 ,.\n\n x \t", &["a", "1234", " ,.", "\n\n", " x", " \t"]),
            ("gpt-2", " \u{a0}x", &[" ", "\u{a0}", "x"]),
            ("llama-bpe", "it's It'S'ſx", &["it", "'s", " It", "'S", "'ſ", "x"]),
            ("llama-bpe", "(a) 1234 ,.\r\n\n x", &["(a", ")", " ", "123", "4", " ,.\r\n\n", " x"]),
            ("llama-bpe", "a  \n \n  b\u{2003}c \n", &["a", "  \n \n", " ", " b", "\u{2003}c", " \n"]),
            ("llama-bpe", "\u{300}e\u{300}ⅷ", &["\u{300}e", "\u{300}", "ⅷ"]),
            ("qwen2", "x12 3", &["x", "1", "2", " ", "3"]),
            (
                "default",
                "it's 12345 x_y=1٢23456",
                &["it", "'", "s", " ", "123", "45", " x", "_", "y", "=", "1٢", "234", "56"],
            ),
        ] {
            let mut got = Vec::new();
            PreTokenizer::named(name).unwrap().split(text, |piece| got.push(piece));
            assert_eq!(got, expected, "{name}");
        }
    }

    #[test]
    fn the_pieces_are_the_text() {
        let mut random = crate::tiny::Random(4);
        let alphabet: Vec<char> = "ab'sSlLé1٢ⅷ \t\r\n\u{a0}\u{2028}._=$😀\u{300}".chars().collect();
        for name in ["gpt-2", "llama-bpe", "qwen2", "default"] {
            for _ in 0..2000 {
                let text: String =
                    (0..20).map(|_| alphabet[random.next() as usize % alphabet.len()]).collect();
                let mut joined = String::new();
                PreTokenizer::named(name).unwrap().split(&text, |piece| {
                    assert!(!piece.is_empty());
                    joined += piece;
                });
                assert_eq!(joined, text, "{name}");
            }
        }
    }
}
