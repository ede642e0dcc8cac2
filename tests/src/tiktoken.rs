//! Writes `tokenizer.model` as Llama 3 has it: a line for each token, its bytes in base64 and its rank.

#![forbid(unsafe_code)]

/// The file of these tokens; their places are their ranks.
pub fn file<T: AsRef<[u8]>>(tokens: impl IntoIterator<Item = T>) -> String {
    let line = |(rank, token): (usize, T)| format!("{} {rank}\n", base64(token.as_ref()));
    tokens.into_iter().enumerate().map(line).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let quad = |three: &[u8]| -> String {
        let bits = three.iter().chain(&[0; 2]).take(3).fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        let digit =
            |i: usize| if i <= three.len() { DIGITS[(bits >> (18 - 6 * i)) as usize & 63] } else { b'=' };
        (0..4).map(|i| char::from(digit(i))).collect()
    };
    bytes.chunks(3).map(quad).collect()
}

/// The bytes of a token that a GGUF spells in GPT-2's letters: visible Latin-1 characters are their bytes, and the other
/// bytes, in their order, are the characters from 256 on.
pub fn bytes_of(letters: &str) -> Vec<u8> {
    let is_visible = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let hidden: Vec<u8> = (0..=255).filter(|&byte| !is_visible(byte)).collect();
    let byte = |letter: char| match u32::from(letter) {
        code @ ..256 => code as u8,
        code => hidden[code as usize - 256],
    };
    letters.chars().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_written_as_tiktoken_does() {
        assert_eq!(file(["!", "ab", "abc", ""]), "IQ== 0\nYWI= 1\nYWJj 2\n 3\n");
        assert_eq!(bytes_of("\u{120}a\u{10a}\u{143}\u{f0}"), b" a\n\xad\xf0");
    }
}
