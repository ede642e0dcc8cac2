//! llama.cpp reads what we write, and computes with it what we compute.
//!
//! *Exact* is the same file with its blocks decoded to f32, run with f32 activations and an f32 cache: what both
//! engines approximate when they quantize activations. An engine is measured by its divergence from that, in the
//! second halves of windows of 256 tokens, over 2048 tokens of a text that the model has not seen.

use blocks::TensorType;
use engine::{Model, Session, SessionOptions};
use ggml::{Llama, Options};
use gguf::File;
use kernels::{CacheType, CacheTypes};
use llamita_tests::{
    Divergence, Learning, Window, converted, decoded_to_f32, held_out_text, learned, log_softmax, windows,
};
use quantize::FileType;
use std::ops::ControlFlow;
use std::path::Path;

const WINDOW: usize = 256;

/// Logits of all tokens of all windows, one after the other.
fn ours(path: &Path, cache_type: CacheType, windows: &[Window]) -> Vec<f32> {
    let model = Model::open(path).unwrap();
    let options =
        SessionOptions { context: WINDOW, cache: Some(CacheTypes::both(cache_type)), ..Default::default() };
    let mut session = Session::new(&model, &options).unwrap();
    let mut all = Vec::new();
    for window in windows {
        session.truncate(0);
        session.feed_each(&window.tokens, |_| true, |_, logits| all.extend_from_slice(logits)).unwrap();
    }
    all
}

fn llama_cpps(path: &Path, cache_type: TensorType, windows: &[Window]) -> Vec<f32> {
    // Without flash attention, whose kernels round queries and keys to f16 whatever the cache's type. One thread: more
    // of them spin at each other's barriers, which takes minutes on a busy machine.
    let options = Options {
        n_ctx: WINDOW as u32,
        threads: 1,
        cache_type_k: cache_type,
        cache_type_v: cache_type,
        flash_attention: false,
        ..Default::default()
    };
    let mut llama = Llama::open(path, &options).unwrap();
    let mut all = Vec::new();
    for window in windows {
        llama.clear();
        llama.feed_each(&window.tokens, |_| true, |_, logits| all.extend_from_slice(logits)).unwrap();
    }
    all
}

fn text_windows(model: &Path) -> (Vec<u32>, Vec<Window>) {
    let model = Model::open(model).unwrap();
    let tokenizer = model.tokenizer();
    let tokens = tokenizer.with_bos(tokenizer.encode(&held_out_text(), false));
    let windows = windows(&tokens, WINDOW, tokenizer.bos().unwrap());
    assert_eq!(windows.len(), 2048 / WINDOW);
    (tokens, windows)
}

fn divergence(first: &[f32], second: &[f32], n_vocab: usize) -> Divergence {
    assert_eq!(first.len(), second.len());
    let mut divergence = Divergence::default();
    for (first, second) in first.chunks_exact(n_vocab).zip(second.chunks_exact(n_vocab)) {
        divergence.add(first, second);
    }
    divergence
}

#[test]
fn logits_are_as_close_to_the_truth_as_llama_cpps() {
    let (_, windows) = text_windows(&converted(FileType::F32));
    // Every type, and what types, order of tensors and keys come of what is learned.
    let files = FileType::all().map(converted).chain(Learning::ALL.map(learned));
    for path in files {
        let n_vocab = Model::open(&path).unwrap().config().n_vocab;
        let exact = ours(&decoded_to_f32(&path), CacheType::F32, &windows);
        let truth = llama_cpps(&decoded_to_f32(&path), TensorType::F32, &windows);
        let here = ours(&path, CacheType::F32, &windows);
        let there = llama_cpps(&path, TensorType::F32, &windows);
        let here_kl = divergence(&exact, &here, n_vocab).mean_kl();
        let there_kl = divergence(&exact, &there, n_vocab).mean_kl();
        let same_top = divergence(&there, &here, n_vocab).top_agreement();
        let summary = format!(
            "{}: KL from exact {here_kl:.2e}, llama.cpp's {there_kl:.2e}, same top {same_top:.4}",
            path.display()
        );
        println!("{summary}");
        assert!(same_top >= 0.97, "{summary}");
        assert_equal_in_floats(&divergence(&truth, &exact, n_vocab), &summary);
        if File::open(&path).unwrap().tensors().iter().any(|tensor| tensor.ty.is_quantized()) {
            assert!(here_kl > 0.0 && here_kl <= 1.25 * there_kl, "{summary}");
        } else {
            // Against llama.cpp on the decoded file: on an f16 or bf16 file it rounds activations, we do not.
            assert_equal_in_floats(&divergence(&truth, &here, n_vocab), &summary);
        }
    }
}

/// What only the order of floating-point sums may make of the same figures.
#[track_caller]
fn assert_equal_in_floats(divergence: &Divergence, what: &str) {
    assert!(divergence.mean_kl() <= 1e-6, "{what}: KL of the f32 runs {:.2e}", divergence.mean_kl());
    assert!(divergence.worst <= 5e-4, "{what}: f32 logits {:.2e} of their range apart", divergence.worst);
}

/// The protocol of llama.cpp's perplexity, done by hand on its own logits.
fn perplexity_by_hand(logits: &[f32], windows: &[Window], n_vocab: usize) -> f64 {
    let (mut sum, mut n) = (0.0, 0);
    for (window, logits) in windows.iter().zip(logits.chunks_exact(WINDOW * n_vocab)) {
        for at in window.measured.clone() {
            sum -= log_softmax(&logits[at * n_vocab..][..n_vocab])[window.tokens[at + 1] as usize];
            n += 1;
        }
    }
    (sum / f64::from(n)).exp()
}

#[test]
fn perplexity_is_llama_cpps() {
    let (tokens, windows) = text_windows(&converted(FileType::F32));
    for file_type in [FileType::F16, FileType::Q8_0, FileType::Q4_0] {
        let path = converted(file_type);
        let model = Model::open(&path).unwrap();
        let there = perplexity_by_hand(
            &llama_cpps(&path, TensorType::F16, &windows),
            &windows,
            model.config().n_vocab,
        );
        let options = SessionOptions { context: WINDOW, ..Default::default() };
        let mut session = Session::new(&model, &options).unwrap();
        let here =
            engine::perplexity(&mut session, &tokens, WINDOW, |_, _, _| ControlFlow::Continue(())).unwrap();
        assert_eq!((here.n_windows, here.n_tokens), (8, 8 * (WINDOW / 2 - 1)));
        // Where activations are quantized, each engine has its own rounding, and 1016 tokens do not average it out as a
        // book does.
        let tolerance = if file_type == FileType::F16 { 1e-4 } else { 3e-3 };
        let apart = (here.perplexity / there - 1.0).abs();
        println!("{}: {} here, {there} there", file_type.name(), here.perplexity);
        assert!(apart <= tolerance, "{}: {} here, {there} there", file_type.name(), here.perplexity);
    }
}

#[test]
fn llama_cpp_tokenizes_with_our_vocabulary_as_we_do() {
    let path = converted(FileType::Q4_0);
    let llama = Llama::open(&path, &Options { n_ctx: 64, ..Default::default() }).unwrap();
    let model = Model::open(&path).unwrap();
    let tokenizer = model.tokenizer();
    let texts = ["", " ", "Hello  world", "\n\tœuvre – 你好 🦙", "a</s>b<s>", &held_out_text()];
    for text in texts {
        for special in [false, true] {
            let here = tokenizer.encode(text, special);
            assert_eq!(here, llama.tokenize(text, false, special), "{text:?}, special: {special}");
            assert_eq!(tokenizer.with_bos(here.clone()), llama.tokenize(text, true, special), "{text:?}");
        }
        let here = tokenizer.encode(text, false);
        assert_eq!(tokenizer.decode(&here, false), llama.detokenize(&here, false), "{text:?}");
    }
}
