//! The engine computes what PyTorch computes, and the same bits however the work is cut.

use engine::{Model, Session, SessionOptions};
use kernels::{CacheType, CacheTypes, Isa};
use llamita_tests::{bundled, converted, did_not_run};
use quantize::FileType;

/// `reference.json`: made by PyTorch in float32 from the checkpoint's bfloat16 weights.
#[derive(serde::Deserialize)]
struct Reference {
    prompts: Vec<Prompt>,
}

#[derive(serde::Deserialize)]
struct Prompt {
    text: String,
    tokens: Vec<u32>,
    last_logits_top10: Vec<(u32, f32)>,
    greedy_tokens: Vec<u32>,
    greedy_text: String,
}

fn reference() -> Vec<Prompt> {
    let text = std::fs::read(bundled().join("reference.json")).unwrap();
    serde_json::from_slice::<Reference>(&text).unwrap().prompts
}

fn argmax(logits: &[f32]) -> u32 {
    (1..logits.len()).fold(0, |best, token| if logits[token] > logits[best] { token } else { best }) as u32
}

#[track_caller]
fn check_against_pytorch(cache_type: CacheType, tolerance: f32) {
    let model = Model::open(converted(FileType::F32)).unwrap();
    let tokenizer = model.tokenizer();
    let prompts = reference();
    assert_eq!(prompts.len(), 4);
    for prompt in &prompts {
        assert_eq!(
            tokenizer.with_bos(tokenizer.encode(&prompt.text, false)),
            prompt.tokens,
            "{}",
            prompt.text
        );
        let options =
            SessionOptions { context: 128, cache: Some(CacheTypes::both(cache_type)), ..Default::default() };
        let mut session = Session::new(&model, &options).unwrap();
        let logits = session.feed(&prompt.tokens).unwrap();
        for &(token, expected) in &prompt.last_logits_top10 {
            let off = (logits[token as usize] - expected).abs();
            assert!(off <= tolerance, "{cache_type} cache, {:?}: token {token} is off by {off}", prompt.text);
        }
        if cache_type != CacheType::F32 {
            continue; // a token that won by less than the cache's rounding may lose
        }
        let mut next = argmax(logits);
        let mut greedy = Vec::new();
        while greedy.len() < prompt.greedy_tokens.len() {
            greedy.push(next);
            next = argmax(session.feed(&[next]).unwrap());
        }
        assert_eq!(greedy, prompt.greedy_tokens, "{cache_type} cache, {:?}", prompt.text);
        assert_eq!(greedy.len(), 64);
        let all: Vec<u32> = prompt.tokens[1..].iter().chain(&greedy).copied().collect();
        assert_eq!(tokenizer.decode(&all, false), prompt.greedy_text);
    }
}

#[test]
fn tokens_and_logits_equal_pytorchs_with_an_f32_cache() {
    check_against_pytorch(CacheType::F32, 1e-3);
}

#[test]
fn logits_equal_pytorchs_with_an_f16_cache() {
    check_against_pytorch(CacheType::F16, 1e-2);
}

/// Bits of the logits of every token.
fn logits(model: &Model, options: &SessionOptions, tokens: &[u32], one_by_one: bool) -> Vec<u32> {
    let mut session = Session::new(model, options).unwrap();
    let mut all = Vec::new();
    let passes = if one_by_one { tokens.chunks(1) } else { tokens.chunks(tokens.len()) };
    for pass in passes {
        session
            .feed_each(pass, |_| true, |_, logits| all.extend(logits.iter().map(|logit| logit.to_bits())))
            .unwrap();
    }
    assert_eq!(all.len(), tokens.len() * model.config().n_vocab);
    all
}

#[test]
fn the_bits_do_not_depend_on_isa_threads_or_batch() {
    let prompt = &reference()[0];
    let tokens: Vec<u32> = prompt.tokens.iter().chain(&prompt.greedy_tokens).copied().take(37).collect();
    let missing = Isa::names().iter().filter(|name| !Isa::available().iter().any(|isa| isa.name() == **name));
    for name in missing {
        did_not_run(&format!("equal bits at level {name}"), "this processor does not have it");
    }
    for file_type in FileType::all() {
        let model = Model::open(converted(file_type)).unwrap();
        let options =
            |isa, threads, batch| SessionOptions { context: 64, threads, batch, isa, ..Default::default() };
        let expected = logits(&model, &options(Isa::available()[0], 1, 512), &tokens, false);
        for isa in Isa::available() {
            for (threads, batch, one_by_one) in
                [(1, 512, false), (2, 512, false), (1, 5, false), (2, 16, true)]
            {
                let got = logits(&model, &options(isa, threads, batch), &tokens, one_by_one);
                let first = expected.iter().zip(&got).position(|(a, b)| a != b);
                assert_eq!(
                    first.map(|at| (at / model.config().n_vocab, at % model.config().n_vocab)),
                    None,
                    "{} at {}, {threads} threads, batch {batch}, one by one: {one_by_one}: first other logit (token, row)",
                    file_type.name(),
                    isa.name(),
                );
            }
        }
    }
}
