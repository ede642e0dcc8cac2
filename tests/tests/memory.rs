//! What a session takes: nothing per token, and in all what the plan says.
//!
//! A binary of its own, because its allocator counts for the whole process; and with a `main` of its own, because
//! the standard test harness allocates beside a running test: it starts the next one, and says which take long.

use engine::{
    MemoryPlan, Model, OnFull, Sampler, SamplerOptions, Session, SessionOptions, StopReason, TextDecoder,
    generate,
};
use kernels::{CacheType, CacheTypes};
use llamita_tests::converted;
use llamita_tests::counting::{Counting, n_allocations};
use quantize::FileType;
use std::ops::ControlFlow;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The proofs, one after the other. A word on the command line chooses those whose name holds it.
fn main() {
    let proofs: [(&str, fn()); 4] = [
        ("the_allocator_does_count", the_allocator_does_count),
        ("a_hundred_tokens_allocate_nothing", a_hundred_tokens_allocate_nothing),
        (
            "a_seed_gives_one_text_with_any_number_of_threads",
            a_seed_gives_one_text_with_any_number_of_threads,
        ),
        ("the_plan_says_what_is_taken", the_plan_says_what_is_taken),
    ];
    let word = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for (name, proof) in proofs.iter().filter(|(name, _)| name.contains(&word)) {
        proof(); // a panic ends the process with a status that cargo takes for a failure
        println!("test {name} ... ok");
    }
}

/// Everything that chooses, so that nothing that might allocate is left out.
fn sampler_options() -> SamplerOptions {
    SamplerOptions {
        temperature: 0.9,
        top_k: 200,
        top_p: 0.98,
        min_p: 0.001,
        typical_p: 0.99,
        repeat_penalty: 1.1,
        presence_penalty: 0.1,
        frequency_penalty: 0.1,
        penalty_window: 64,
        seed: 7,
    }
}

/// Generates `n` tokens; the text, and how often memory was asked for after the first token.
fn generated(file_type: FileType, threads: usize, n: usize) -> (String, usize) {
    let model = Model::open(converted(file_type)).unwrap();
    let tokenizer = model.tokenizer();
    let prompt = tokenizer.with_bos(tokenizer.encode("It was a dark night, and", false));
    let options = SessionOptions { context: 256, threads, ..Default::default() };
    let mut session = Session::new(&model, &options).unwrap();
    let mut sampler = Sampler::new(sampler_options(), model.config().n_vocab);
    let mut decoder = TextDecoder::default();
    let mut text = String::with_capacity(64 * n);
    let (mut first, mut last, mut n_tokens) = (0, 0, 0);
    let done = generate(&mut session, &mut sampler, &prompt, n, OnFull::Stop, |token| {
        text.push_str(decoder.push(tokenizer, token));
        last = n_allocations();
        if n_tokens == 0 {
            first = last;
        }
        n_tokens += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(
        (done.stop, n_tokens),
        (StopReason::Length, n),
        "the seed must lead to a text that is long enough"
    );
    (text, last - first)
}

fn a_hundred_tokens_allocate_nothing() {
    for file_type in FileType::all() {
        for threads in [1, 2] {
            let (_, n_allocations) = generated(file_type, threads, 101);
            assert_eq!(n_allocations, 0, "{}, {threads} threads", file_type.name());
        }
    }
}

fn the_allocator_does_count() {
    let before = n_allocations();
    drop(std::hint::black_box(vec![1u8; 100]));
    assert!(n_allocations() > before);
}

fn a_seed_gives_one_text_with_any_number_of_threads() {
    for file_type in [FileType::Q4_0, FileType::F16] {
        let (text, _) = generated(file_type, 1, 100);
        assert!(text.len() > 100, "{text:?}");
        for threads in [1, 2, 3] {
            assert_eq!(generated(file_type, threads, 100).0, text, "{}, {threads} threads", file_type.name());
        }
    }
}

/// Bytes of the process's memory that belong to no file.
fn anonymous_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux 4.5 or later");
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

fn the_plan_says_what_is_taken() {
    if !cfg!(target_os = "linux") {
        llamita_tests::did_not_run("the memory plan against the process", "it reads /proc/self/status");
        return;
    }
    let model = Model::open(converted(FileType::Q4_0)).unwrap();
    let n_context = 2048;
    for cache_type in CacheType::ALL {
        let cache = Some(CacheTypes::both(cache_type));
        let options =
            SessionOptions { context: n_context, cache, batch: 64, threads: 2, ..Default::default() };
        let plan = MemoryPlan::new(&model, &options);
        assert_eq!(plan.context, n_context as u64);
        assert_eq!(plan.kv_cache_bytes, plan.kv_bytes_per_token * n_context as u64);
        // 8 layers of 4 heads of 32 floats, keys and values.
        assert_eq!(plan.kv_bytes_per_token, (8 * 4 * 2 * cache_type.position_bytes(32)) as u64);
        assert_eq!(
            plan.total_bytes(),
            plan.weights_bytes + plan.kv_cache_bytes + plan.scratch_bytes + plan.tables_bytes
        );

        let before = anonymous_bytes();
        let mut session = Session::new(&model, &options).unwrap();
        session.feed(&[1; 64]).unwrap();
        let started = anonymous_bytes() - before;
        let tokens = vec![300; n_context - 64];
        session.feed(&tokens).unwrap();
        assert_eq!(session.position(), n_context);
        let full = anonymous_bytes() - before;
        // A cache that is not used yet takes nothing but its first pages; full, it takes what was said. Slack: threads'
        // stacks, the allocator's own, a page per run of keys or values.
        let slack = 3 << 20;
        assert!(started <= plan.scratch_bytes + slack, "{cache_type}: {started} at the start; {plan:?}");
        let said = plan.kv_cache_bytes + plan.scratch_bytes;
        assert!(full <= said + slack, "{cache_type}: {full} when full, {said} planned");
        assert!(full >= plan.kv_cache_bytes, "{cache_type}: {full} when full; {plan:?}");
    }
}
