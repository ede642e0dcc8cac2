use super::*;
use crate::tiny::{Random, Tiny};
use crate::{Model, SessionOptions, divergence};
use tempfile::TempDir;

const CONTEXT: usize = 20;

fn session(model: &Model) -> Session<'_> {
    Session::new(model, &SessionOptions { context: 32, threads: 1, ..Default::default() }).unwrap()
}

fn text() -> Vec<u32> {
    let mut random = Random(11);
    (0..50).map(|_| (random.next() % 300) as u32).collect()
}

/// A base of a tiny model, in a folder.
fn saved(model: &Model) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tiny.klb");
    let go = |_, _, _| ControlFlow::Continue(());
    let saved = Base::save(&path, &mut session(model), &text(), CONTEXT, go).unwrap();
    let alone = crate::perplexity(&mut session(model), &text(), CONTEXT, go).unwrap();
    assert_eq!(saved.n_tokens, alone.n_tokens);
    assert!((saved.perplexity / alone.perplexity - 1.0).abs() < 1e-6, "{saved:?}, {alone:?}");
    (folder, path)
}

/// Compares a model with what a file says.
fn compared(path: &Path, model: &Model, tokens: &[u32], context: usize) -> Result<Divergence, Error> {
    let go = |_, _, _| ControlFlow::Continue(());
    Base::open(path)?.divergence(&mut session(model), tokens, context, go)
}

#[test]
fn a_base_says_what_the_original_says() {
    let mut other = Tiny::new();
    other.config.rope_base = 100.0;
    let (one, other) = (Tiny::new().model(), other.model());
    let (_folder, path) = saved(&one);
    let go = |_, _, _| ControlFlow::Continue(());
    for model in [&one, &other] {
        let exact = divergence(&mut session(model), &mut session(&one), &text(), CONTEXT, go).unwrap();
        let found = compared(&path, model, &text(), CONTEXT).unwrap();
        assert_eq!((found.perplexity, found.same_top), (exact.perplexity, exact.same_top));
        assert!((found.ln_ratio - exact.ln_ratio).abs() < 1e-6, "{found:?}, {exact:?}");
        for (found, exact) in [
            (found.mean, exact.mean),
            (found.median, exact.median),
            (found.percentile_99, exact.percentile_99),
            (found.largest, exact.largest),
        ] {
            let bound = (exact + (2.0 * exact).sqrt()) / 1024.0 + exact / 256.0 + 1e-6;
            assert!((found - exact).abs() <= bound, "{found} of {exact}");
        }
        assert!(found.mean > 1e-6 || model.file().path() == one.file().path());
    }
}

#[test]
fn what_a_base_is_not_of_is_told() {
    let model = Tiny::new().model();
    let mut larger = Tiny::new();
    larger.config.n_vocab = 301;
    let larger = larger.model();
    let (_folder, path) = saved(&model);
    let mut another = text();
    another[30] ^= 1;
    let longer = [text(), text()].concat();
    for (case, model, tokens, context, words) in [
        ("another text", &model, &another, CONTEXT, "window 1 is of another text"),
        ("a longer text", &model, &longer, CONTEXT, "a text of 2 windows, this one has 5"),
        ("other windows", &model, &text(), 16, "give --context 20"),
        ("another model", &larger, &text(), CONTEXT, "not two forms of the same model"),
    ] {
        let error = compared(&path, model, tokens, context).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("tiny.klb"), "{case}: {error}");
    }
}

#[test]
fn a_base_that_is_cut_or_changed_is_a_sentence_or_a_figure() {
    let model = Tiny::new().model();
    let (folder, path) = saved(&model);
    let whole = std::fs::read(&path).unwrap();
    let bad = folder.path().join("bad.klb");
    let with = |bytes: &[u8]| {
        std::fs::write(&bad, bytes).unwrap();
        compared(&bad, &model, &text(), CONTEXT)
    };
    let mut lengths: Vec<usize> = (0..40).chain(whole.len() - 20..whole.len()).collect();
    lengths.extend((40..whole.len()).step_by(397));
    for n in lengths {
        let error = with(&whole[..n]).unwrap_err().to_string();
        assert!(error.contains("cut") || n < MAGIC.len(), "{n} bytes: {error}");
    }
    for (bytes, words) in [
        ([whole.as_slice(), b"x"].concat(), "more follows"),
        (b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "--reference"),
        (b"_logits_\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "llama-perplexity"),
        (vec![0; 100], "no file of a model's predictions"),
    ] {
        let error = with(&bytes).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    // A flipped bit is found, or changes a figure a little: it is never a panic, nor what is no number.
    let mut random = Random(17);
    let mut n_found = 0;
    for _ in 0..300 {
        let mut bytes = whole.clone();
        let at = random.next() as usize % bytes.len();
        bytes[at] ^= 1 << (random.next() % 8);
        match with(&bytes) {
            Err(error) => {
                n_found += 1;
                assert!(error.to_string().contains("bad.klb"), "byte {at}: {error}");
            }
            Ok(found) => {
                assert!(found.mean.is_finite() && found.ln_ratio.is_finite(), "byte {at}: {found:?}")
            }
        }
    }
    assert!(n_found > 50, "{n_found}");
}

#[test]
fn a_base_that_is_stopped_leaves_nothing() {
    let model = Tiny::new().model();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tiny.klb");
    let stop = |_, _, _| ControlFlow::Break(());
    let so_far = Base::save(&path, &mut session(&model), &text(), CONTEXT, stop).unwrap();
    assert_eq!(so_far.n_windows, 1);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    let error = Base::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("this is not a file"), "{error}");
}
