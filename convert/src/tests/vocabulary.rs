//! Llama 2's own tokenizer becomes the vocabulary that llama.cpp ships as a test vector, and the chat template writes
//! what Meta's `chat_completion` feeds the model.

use crate::tokenizer::{self, Release};
use crate::{LLAMA2_CHAT_TEMPLATE, LLAMA3_CHAT_TEMPLATE};
use std::path::{Path, PathBuf};

/// Where the vectors lie that are too large or not free to ship.
pub(super) fn data() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("LLAMITA_TEST_DATA").map_or_else(default, PathBuf::from)
}

#[test]
fn llama_2s_tokenizer_is_llama_cpps_vector() {
    let (model, vector) =
        (data().join("vocab/llama2-tokenizer.model"), data().join("vocab/ggml-vocab-llama-spm.gguf"));
    if !model.exists() || !vector.exists() {
        println!(
            "not run: {} or {} is missing; LLAMITA_TEST_DATA names their folder",
            model.display(),
            vector.display()
        );
        return;
    }
    let mut ours = gguf::Metadata::default();
    let release = Release { later: false, instruct: false };
    tokenizer::read_meta(&model, 32_000, release).unwrap().describe(&mut ours);
    let theirs = gguf::File::open(vector).unwrap();
    let mut n_compared = 0;
    for (key, value) in theirs.metadata().iter().filter(|(key, _)| key.starts_with("tokenizer.ggml.")) {
        assert!(ours.get(key) == Some(value), "{key}");
        n_compared += 1;
    }
    assert!(n_compared >= 8, "tokens, scores, types, three ids and two flags: {n_compared} keys");
}

/// Meta's formatting, by its definition: pairs of a question and an answer, then a last question.
fn chat_completion(system: Option<&str>, pairs: &[(&str, &str)], last: &str) -> String {
    let mut system = system.map_or(String::new(), |text| format!("<<SYS>>\n{text}\n<</SYS>>\n\n"));
    let mut text = String::new();
    for (question, answer) in pairs {
        let question = std::mem::take(&mut system) + question;
        text += &format!("<s>[INST] {} [/INST] {} </s>", question.trim(), answer.trim());
    }
    text + &format!("<s>[INST] {} [/INST]", (system + last).trim())
}

fn render(template: &str, messages: &[(&str, &str)]) -> Result<String, minijinja::Error> {
    let messages: Vec<_> =
        messages.iter().map(|&(role, content)| minijinja::context! { role, content }).collect();
    let mut environment = minijinja::Environment::new();
    environment.add_function("raise_exception", |problem: String| -> Result<String, minijinja::Error> {
        Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, problem))
    });
    environment.render_str(
        template,
        minijinja::context! { messages, bos_token => "<s>", eos_token => "</s>", add_generation_prompt => true },
    )
}

#[test]
fn the_template_writes_what_meta_feeds() {
    let pairs = [(" What is 2+2? ", "Four.\n"), ("And 3+3?", " Six "), ("{{ 7 }} <b>", "\"&\"")];
    for system in [None, Some("Be brief."), Some("")] {
        for n in 0..=pairs.len() {
            let mut messages: Vec<_> = system.map(|text| ("system", text)).into_iter().collect();
            for (question, answer) in &pairs[..n] {
                messages.extend([("user", *question), ("assistant", *answer)]);
            }
            messages.push(("user", "\n The last?\t"));
            let expected = chat_completion(system, &pairs[..n], "\n The last?\t");
            assert_eq!(
                render(LLAMA2_CHAT_TEMPLATE, &messages).unwrap(),
                expected,
                "{n} turns after {system:?}"
            );
        }
    }
    let wrong_orders: [&[(&str, &str)]; 5] = [
        &[],
        &[("system", "s")],
        &[("assistant", "a")],
        &[("user", "u"), ("user", "u")],
        &[("user", "u"), ("system", "s")],
    ];
    for messages in wrong_orders {
        assert!(render(LLAMA2_CHAT_TEMPLATE, messages).is_err(), "{messages:?}");
    }
}

#[test]
fn llama_3s_template_writes_headers_and_ends() {
    let messages =
        [("system", "Be brief.\n"), ("user", " 2+2? "), ("assistant", "Four."), ("user", "{{ 7 }} <b>")];
    let mut expected = "<s>".to_owned();
    for (role, text) in messages {
        expected += &format!("<|start_header_id|>{role}<|end_header_id|>\n\n{}<|eot_id|>", text.trim());
    }
    expected += "<|start_header_id|>assistant<|end_header_id|>\n\n";
    assert_eq!(render(LLAMA3_CHAT_TEMPLATE, &messages).unwrap(), expected);
}
