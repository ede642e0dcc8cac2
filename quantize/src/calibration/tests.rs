//! A tiny model on its whole way: the file that comes of it, what stops it, and what is left behind.

use super::*;
use crate::{Cancelled, FileType, Imatrix, Monitor, Options, Reading, Work, quantize};
use engine::tiny::{Tiny, write_changed};
use gguf::File;
use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const DIM: usize = 64;

fn tiny(tied: bool) -> Tiny {
    let mut tiny = Tiny { tied, ..Tiny::new() };
    tiny.config.n_layers = 3;
    tiny
}

/// Writes a model of random weights; `change` may spoil some. Its tensors are in no order of a pass, as some converters leave
/// them.
fn model(path: &Path, tied: bool, change: impl Fn(&str, &mut [f32])) -> File {
    let tiny = tiny(tied);
    let mut tensors = tiny.tensors();
    tensors.reverse();
    write_changed(path, &tiny.metadata(), &tensors, change);
    File::open(path).unwrap()
}

fn text() -> String {
    (0..400u32).map(|i| char::from(b'a' + (i * i / 7 % 26) as u8)).collect()
}

fn options(resume: bool) -> Options {
    let calibration =
        Calibration { name: "a text".into(), text: text(), context: Some(20), max_tokens: None };
    let work = Work { resume, measure: true, ..Work::default() };
    Options {
        recipe: FileType::Q4_0.into(),
        target: None,
        imatrix: None,
        calibration: Some(calibration),
        allow_requantize: false,
        work,
    }
}

/// Stops when so many bytes are done.
struct StopsAfter(AtomicU64);

impl Monitor for StopsAfter {
    fn start(&self, _: u64) {}

    fn advance(&self, n_bytes: u64) -> Result<(), Cancelled> {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(n_bytes);
        self.0.store(left, Ordering::Relaxed);
        if left == 0 { Err(Cancelled) } else { Ok(()) }
    }

    fn note(&self, _: &str) {}
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_comes_of_it_whatever_the_order_and_the_threads() {
    for tied in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let input = model(&folder.path().join("in.gguf"), tied, |_, _| ());
        let mut all = Vec::new();
        for n_threads in [1, 3] {
            let output = folder.path().join("out.gguf");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let summary = pool.install(|| quantize(&input, &output, &options(false), &()).unwrap());
            // Seven matrices a layer, and the output: Q8_0, for its rows are no whole super-blocks.
            let judged =
                summary.losses.iter().flatten().filter_map(|loss| Some((loss.judgement?, loss.held_out?)));
            let judged: Vec<_> = judged.collect();
            assert_eq!(judged.len(), 7 * 3 + 1, "{judged:?}");
            for (judged, taken) in judged {
                assert!(judged.held_out.iter().all(|&other| taken.error <= other), "{judged:?} {taken:?}");
                assert!((1e-7..0.5).contains(&(taken.error / taken.whole)), "{taken:?}");
            }
            all.push(fs::read(&output).unwrap());
        }
        assert!(all[0] == all[1], "threads change bits");
        let file = File::open(folder.path().join("out.gguf")).unwrap();
        let order: Vec<&str> = file.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
        let step = |name: &&str| match name.strip_prefix("blk.") {
            Some(rest) => 1 + usize::from(rest.as_bytes()[0] - b'0'),
            None if *name == "token_embd.weight" && !tied => 0,
            None => 9,
        };
        assert!(order.is_sorted_by_key(step), "{order:?}");
        assert_eq!(order.len(), tiny(tied).tensors().len());
        let model = Model::open(folder.path().join("out.gguf")).unwrap();
        let keys = model.file().metadata();
        let own: Vec<&str> =
            keys.iter().map(|(key, _)| key).filter(|key| key.starts_with("llamita.")).collect();
        assert_eq!(own, ["method", "text", "tokens", "error"].map(|key| format!("llamita.quantize.{key}")));
        assert_eq!((keys.str(TEXT_KEY), keys.uint(TOKENS_KEY)), (Ok(Some("a text")), Ok(Some(400))));
        let error = keys.float(ERROR_KEY).unwrap().unwrap();
        assert!((0.005..0.7).contains(&error), "{error}");
        assert_eq!(names(folder.path()), ["in.gguf", "out.gguf"]);
    }
}

#[test]
fn what_was_stopped_goes_on_and_gives_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let input = model(&folder.path().join("in.gguf"), false, |_, _| ());
    let output = folder.path().join("out.gguf");
    let losses = quantize(&input, &output, &options(false), &()).unwrap().losses;
    assert!(losses.iter().all(Option::is_some), "{losses:?}");
    let whole = fs::read(&output).unwrap();
    fs::remove_file(&output).unwrap();
    let bytes: u64 = input.tensors().iter().map(|tensor| tensor.n_bytes).sum();
    for part in [1, 30, 50, 70, 90] {
        let stops = StopsAfter(AtomicU64::new(part * 3 * bytes / 100));
        let stopped = quantize(&input, &output, &options(true), &stops);
        assert!(matches!(stopped, Err(Error::Cancelled(_))), "{part} %");
        assert!(names(folder.path()).iter().any(|name| name.ends_with(".partial")), "{part} %");
        // Another stop on the way, and then to the end.
        let _ = quantize(&input, &output, &options(true), &StopsAfter(AtomicU64::new(bytes)));
        let resumed = quantize(&input, &output, &options(true), &()).unwrap();
        assert!(fs::read(&output).unwrap() == whole, "{part} %");
        assert_eq!(resumed.losses, losses, "{part} %");
        fs::remove_file(&output).unwrap();
        assert_eq!(names(folder.path()), ["in.gguf"], "{part} %");
    }
    // Whoever does not go on leaves nothing.
    let stops = StopsAfter(AtomicU64::new(bytes));
    assert!(quantize(&input, &output, &options(false), &stops).is_err());
    assert_eq!(names(folder.path()), ["in.gguf"]);
}

#[test]
fn what_nothing_can_be_learned_from_is_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let good = model(&path("good.gguf"), false, |_, _| ());
    let spoiled = |at: &'static str, value: f32| {
        move |name: &str, weights: &mut [f32]| {
            if name == at {
                weights[DIM + 3] = value;
            }
        }
    };
    let nan = model(&path("nan.gguf"), false, spoiled("blk.1.attn_k.weight", f32::NAN));
    let with = |change: &dyn Fn(&mut Options)| {
        let mut options = options(false);
        change(&mut options);
        options
    };
    let text = |text: &str, context: usize, max_tokens: Option<usize>| {
        let calibration =
            Calibration { name: String::new(), text: text.into(), context: Some(context), max_tokens };
        with(&|options| options.calibration = Some(calibration.clone()))
    };
    for (input, options, words) in [
        (&good, text("", 20, None), "the calibration text has 1 tokens, but two windows take 40"),
        (&good, text("abc", 20, None), "--calibration-context"),
        (&good, text("abcdefgh", 4, Some(7)), "of which 7 are read"),
        (&good, text("abc", 0, None), "--calibration-context"),
        (&nan, options(false), "tensor `blk.1.attn_k.weight`, row 1, column 3: the weight is NaN"),
        (&good, with(&|options| options.work.max_ram_bytes = Some(8 << 20)), "at least --max-ram"),
    ] {
        let error = quantize(input, &path("out.gguf"), &options, &()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(names(folder.path()), ["good.gguf", "nan.gguf"]);
    }
}

#[test]
fn windows_are_held_out_evenly() {
    for (n_windows, context, expected) in [(2, 20, 1), (3, 20, 1), (8, 20, 2), (100, 512, 4), (9, 4096, 1)] {
        let windows = Windows { tokens: vec![0; n_windows * context], context };
        let held_out: Vec<usize> = (0..n_windows).filter(|&window| windows.is_held_out(window)).collect();
        assert_eq!((windows.n_held_out(), held_out.len()), (expected, expected), "{n_windows}");
        let step = n_windows / expected;
        assert!(held_out.windows(2).all(|pair| pair[1] - pair[0] == step), "{held_out:?}");
    }
}

#[test]
fn an_importance_matrix_is_that_of_a_session_and_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    model(&folder.path().join("in.gguf"), false, |_, _| ());
    let model = Model::open(folder.path().join("in.gguf")).unwrap();
    let tokens: Vec<u32> = (0..90).map(|i| 3 + i * i % 250).collect();
    let output = folder.path().join("out.gguf");
    let reading = |resume| Reading {
        dataset: "a",
        context: 20,
        threads: 2,
        with_output: true,
        output: &output,
        resume,
        max_ram_bytes: None,
    };
    let mut n_tokens = 0;
    let whole = Imatrix::collect(&model, &tokens, &reading(false), |n| {
        n_tokens += n;
        ControlFlow::Continue(())
    });
    let whole = whole.unwrap();
    assert_eq!((n_tokens, whole.n_windows(), whole.n_matrices()), (80, 4, 7 * 3 + 1));

    let cache = kernels::CacheTypes::both(kernels::CacheType::F32);
    let session =
        engine::SessionOptions { context: 20, threads: 1, cache: Some(cache), ..Default::default() };
    let mut session = engine::Session::new(&model, &session).unwrap();
    let mut sums: HashMap<usize, Vec<f64>> = HashMap::new();
    let see = |_: usize, matrices: &[&engine::Matrix], x: &[f32]| {
        for matrix in matrices {
            let sums = sums.entry(matrix.tensor).or_insert_with(|| vec![0.0; matrix.n_cols]);
            for x in x.chunks(matrix.n_cols) {
                sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
            }
        }
    };
    engine::see_windows(&mut session, &tokens, 20, true, |_| ControlFlow::Continue(()), see).unwrap();
    for (tensor, sums) in sums {
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        let name = &model.file().tensors()[tensor].name;
        for (found, sum) in whole.importance(name).unwrap().iter().zip(sums) {
            assert!((f64::from(*found) - sum / mean).abs() < 1e-5, "{name}");
        }
    }

    for stop in [1, 4, 5, 8, 11] {
        let stopping = |resume| {
            let mut n = 0;
            Imatrix::collect(&model, &tokens, &reading(resume), |_| {
                n += 1;
                // The first call tells what is there already.
                if n > stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        };
        assert!(matches!(stopping(false), Err(Error::Cancelled(_))));
        assert_eq!(names(folder.path()), ["in.gguf"], "{stop}");
        assert!(matches!(stopping(true), Err(Error::Cancelled(_))));
        let mut n_calls = 0;
        let resumed = Imatrix::collect(&model, &tokens, &reading(true), |_| {
            n_calls += 1;
            ControlFlow::Continue(())
        });
        assert!(resumed.unwrap() == whole, "{stop}");
        assert_eq!(n_calls, 1 + 12 - (stop - 1) / 4 * 4, "whole layers are not run again");
        assert_eq!(names(folder.path()), ["in.gguf"]);
    }
    let little = Reading { max_ram_bytes: Some(1 << 20), ..reading(false) };
    let error = Imatrix::collect(&model, &tokens, &little, |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("at least --max-ram"), "{error}");
}
