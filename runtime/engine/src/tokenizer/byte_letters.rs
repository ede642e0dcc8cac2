//! The alphabet of byte-level BPE: each byte is written as one printable letter.
//!
//! GPT-2's vocabulary is a text file, so its tokens are spelled without spaces and control characters: a byte that is
//! a printable character of Latin-1 stands for itself, the others are U+0100, U+0101, … in their order. A space is
//! `Ġ`, a newline `Ċ`.

/// Letters above this stand for no byte.
const N_LETTERS: usize = 0x144;

/// The byte of each letter.
const BYTES: [Option<u8>; N_LETTERS] = {
    let mut bytes = [None; N_LETTERS];
    let (mut byte, mut next) = (0, 0x100);
    while byte < 0x100 {
        if matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) {
            bytes[byte] = Some(byte as u8);
        } else {
            bytes[next] = Some(byte as u8);
            next += 1;
        }
        byte += 1;
    }
    bytes
};

/// The byte that a letter stands for.
pub(super) fn byte_of(letter: char) -> Option<u8> {
    BYTES.get(letter as usize).copied().flatten()
}

/// Appends the bytes that `spelled` stands for. A character outside the alphabet, which is how some files add tokens
/// of their own, stands for itself.
pub(super) fn read(spelled: &[u8], out: &mut Vec<u8>) {
    let Ok(letters) = std::str::from_utf8(spelled) else {
        out.extend_from_slice(spelled);
        return;
    };
    for letter in letters.chars() {
        match byte_of(letter) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_letter() {
        let mut bytes: Vec<u8> = ('\0'..='\u{1000}').filter_map(byte_of).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn what_is_spelled_is_read() {
        for (spelled, expected) in [
            ("Ġa", " a".as_bytes()),
            ("ĊĉĀ", b"\n\t\0"),
            ("Ã©", "é".as_bytes()),
            ("ł\u{143}", b"\xa0\xad"),
            ("\u{144}▁", "\u{144}▁".as_bytes()),
            ("a b", b"a b"),
        ] {
            let mut out = Vec::new();
            read(spelled.as_bytes(), &mut out);
            assert_eq!(out, expected, "{spelled}");
        }
        let mut out = Vec::new();
        read(b"\xff", &mut out);
        assert_eq!(out, b"\xff");
    }
}
