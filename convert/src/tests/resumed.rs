//! Conversions that were interrupted go on, to the same file.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Stops at the so-manieth call to go on, and listens.
#[derive(Default)]
struct StopAt {
    n_calls: Option<usize>,
    calls: AtomicUsize,
    notes: Mutex<Vec<String>>,
}

impl Monitor for StopAt {
    fn start(&self, _total_bytes: u64) {}

    fn advance(&self, _n_bytes: u64) -> Result<(), Cancelled> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if self.n_calls.is_some_and(|n_calls| calls >= n_calls) { Err(Cancelled) } else { Ok(()) }
    }

    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.into());
    }
}

fn resuming() -> Options {
    Options { work: quantize::Work { resume: true, ..OPTIONS.work }, ..OPTIONS }
}

/// Converts until a tensor, each of which is one call here.
fn stop(bench: &Bench, n_calls: usize) {
    let monitor = StopAt { n_calls: Some(n_calls), ..StopAt::default() };
    let stopped = convert(&bench.folder(), Some(&bench.out().join("model.gguf")), &resuming(), &monitor);
    assert!(matches!(stopped, Err(Error::Cancelled(_))), "{n_calls}: {stopped:?}");
    assert!(monitor.notes.into_inner().unwrap().iter().any(|note| note.contains("is kept")));
    assert_eq!(bench.left(), 2, "a part and its journal");
}

#[test]
fn interrupted_at_any_tensor_it_becomes_the_same_file() {
    let n_tensors = fixture::tensors().len();
    let expected = contents(&Bench::new().convert(&OPTIONS).unwrap());
    for n_calls in 1..=n_tensors {
        let bench = Bench::new();
        stop(&bench, n_calls);
        let monitor = StopAt::default();
        convert(&bench.folder(), Some(&bench.out().join("model.gguf")), &resuming(), &monitor).unwrap();
        let file = gguf::File::open(bench.out().join("model.gguf")).unwrap();
        assert!(contents(&file) == expected, "{n_calls}");
        assert_eq!(bench.left(), 1);
        assert_eq!(monitor.calls.into_inner(), n_tensors, "what is there counts as done");
        // What was encoded last need not have been written.
        let notes = monitor.notes.into_inner().unwrap().join("\n");
        let says = if n_calls > 2 { "going on behind" } else { "" };
        assert!(notes.contains(says), "{n_calls}: {notes}");
    }
}

#[test]
fn a_sum_is_of_the_whole_file_whatever_was_there() {
    let bench = Bench::new();
    bench.put("checklist.chk", format!("{ZEROS}  {SHARD}\n"));
    stop(&bench, fixture::tensors().len());
    let error = bench.convert(&resuming()).unwrap_err().to_string();
    assert!(error.contains("its MD5 is") && error.contains(SHARD), "{error}");
    assert_eq!(bench.left(), 0, "it is of no use");
}

#[test]
fn other_settings_make_another_file() {
    let bench = Bench::new();
    stop(&bench, 5);
    let other = Options { context_length: Some(99), ..resuming() };
    let monitor = StopAt::default();
    convert(&bench.folder(), Some(&bench.out().join("model.gguf")), &other, &monitor).unwrap();
    let notes = monitor.notes.into_inner().unwrap().join("\n");
    assert!(notes.contains("it starts from the beginning"), "{notes}");
    assert_eq!(bench.left(), 1);
}
