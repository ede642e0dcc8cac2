//! One text and one fingerprint of logits per file type, the same on every machine: what was generated on x86 must be
//! generated on arm, to the last bit, because the sum has one definition.
//!
//! `golden/novel-8m.json` was made by this test with `LLAMITA_BLESS=1`; do that again only where a change of the
//! arithmetic or of an encoder is meant, and say so in the commit.

use engine::{Model, OnFull, Sampler, SamplerOptions, Session, SessionOptions, generate};
use llamita_tests::{converted, package};
use quantize::FileType;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const PROMPT: &str = "The old house stood at the end of the lane,";

/// Among them they hold every type of block but those for experts and ternary models; an emulated processor is slow.
const FILE_TYPES: [FileType; 12] = [
    FileType::F32,
    FileType::F16,
    FileType::Bf16,
    FileType::Q8_0,
    FileType::Q5_1,
    FileType::Q5_0,
    FileType::Q4_1,
    FileType::Q4_0,
    FileType::Q4KM,
    FileType::Iq4Xs,
    FileType::Q3KM,
    FileType::Q2K,
];

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Golden {
    /// 48 greedy tokens.
    text: String,
    /// FNV-1a over the bits of the last token's logits, in hexadecimal.
    logits: String,
}

fn fingerprint(logits: &[f32]) -> String {
    let bytes = logits.iter().flat_map(|logit| logit.to_bits().to_le_bytes());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

fn made_here(file_type: FileType) -> Golden {
    let model = Model::open(converted(file_type)).unwrap();
    let tokenizer = model.tokenizer();
    let prompt = tokenizer.with_bos(tokenizer.encode(PROMPT, false));
    let mut session = Session::new(&model, &SessionOptions { context: 128, ..Default::default() }).unwrap();
    let greedy = SamplerOptions { temperature: 0.0, ..Default::default() };
    let mut sampler = Sampler::new(greedy, model.config().n_vocab);
    let mut tokens = Vec::new();
    generate(&mut session, &mut sampler, &prompt, 48, OnFull::Stop, |token| {
        tokens.push(token);
        ControlFlow::Continue(())
    })
    .unwrap();
    session.truncate(0);
    let all: Vec<u32> = prompt.iter().chain(&tokens).copied().collect();
    let logits = fingerprint(session.feed(&all).unwrap());
    Golden { text: tokenizer.decode(&tokens, false), logits }
}

#[test]
fn a_file_of_each_type_generates_its_golden_text() {
    let path = package().join("golden/novel-8m.json");
    let made: BTreeMap<&str, Golden> = FILE_TYPES.iter().map(|&ty| (ty.name(), made_here(ty))).collect();
    if std::env::var_os("LLAMITA_BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let text = std::fs::read(&path).unwrap();
    let golden: BTreeMap<&str, Golden> = serde_json::from_slice(&text).unwrap();
    assert_eq!(made, golden);
}
