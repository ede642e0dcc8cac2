//! The vocabularies that the tests share: a small one of our own, and Llama 2's where it is at hand.

mod byte_level;
mod decoding;
mod encoding;
mod vocabularies;

use super::*;
use crate::tiny::Random;
use gguf::{Metadata, Strings};
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

/// Checks the texts of `NAME.inp` (each ended by a separator line) and the ids of `NAME.out` (a line for each) both ways;
/// how many there are.
fn vectors_hold(tokenizer: &Tokenizer, name: &str) -> Option<usize> {
    let (texts, ids) = (vector(&format!("{name}.inp"))?, vector(&format!("{name}.out"))?);
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
    Some(texts.len())
}

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    fn text(&mut self, alphabet: &[char], n_most: usize) -> String {
        (0..self.below(n_most + 1)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}
