//! Files that are read back, and files that are refused.

use super::collect::add_squares;
use super::*;

fn imatrix(entries: &[(&str, &[f64], u64)]) -> Imatrix {
    let entry = |&(name, sums, n_tokens): &(&str, &[f64], u64)| {
        (name.to_owned(), Entry { sums: sums.to_vec(), n_tokens })
    };
    Imatrix {
        datasets: vec!["a.txt".into(), "b.txt".into()],
        n_windows: 7,
        context: 512,
        entries: entries.iter().map(entry).collect(),
        ..Imatrix::default()
    }
}

fn written(imatrix: &Imatrix) -> Result<Imatrix, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imatrix.gguf");
    imatrix.write(&path).unwrap();
    Imatrix::read(&path)
}

#[test]
fn what_is_written_is_read() {
    let original = imatrix(&[("blk.0.a.weight", &[1.0, 2.0, 0.0, 5.0], 10), ("output.weight", &[0.5], 3)]);
    let read = written(&original).unwrap();
    assert_eq!((&read.datasets, read.n_windows(), read.context), (&original.datasets, 7, 512));
    assert_eq!((&read.entries, read.n_matrices()), (&original.entries, 2));
    assert_eq!(read.importance("blk.0.a.weight"), Some(vec![0.5, 1.0, FLOOR, 2.5]));
    assert_eq!(read.importance("blk.1.a.weight"), None);
}

#[test]
fn sums_are_those_of_the_squares() {
    let mut sums = vec![0.0; 2];
    add_squares(&mut sums, &[1.0, -2.0, 3.0, 4.0]);
    add_squares(&mut sums, &[-1.0, 0.5]);
    assert_eq!(sums, [11.0, 20.25]);
}

#[test]
fn files_that_are_no_sums_are_refused_in_words() {
    let with = |sums: &[f64], n_tokens| written(&imatrix(&[("blk.0.a.weight", sums, n_tokens)]));
    for (read, words) in [
        (with(&[1.0, f64::NAN], 1), "`blk.0.a.weight.in_sum2`, number 1: NaN is no sum of squares"),
        (with(&[1.0, f64::INFINITY], 1), "number 1: inf"),
        (with(&[-1.0], 1), "number 0: -1"),
        (with(&[0.0, 0.0], 1), "`blk.0.a.weight` was never used"),
        (with(&[1.0], 0), "`blk.0.a.weight` was never used"),
        (written(&imatrix(&[])), "there is nothing in it"),
    ] {
        let error = read.unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("imatrix.gguf"), "{error}");
    }
}

/// A file with one tensor.
fn gguf(name: &str, shape: &[u64], ty: TensorType, kind: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.gguf");
    let mut keys = Metadata::default();
    keys.set("general.type", kind);
    let spec = TensorSpec { name: name.into(), shape: shape.to_vec(), ty };
    let mut writer = Writer::create(&path, &keys, std::slice::from_ref(&spec)).unwrap();
    writer.write(&vec![0; spec.n_bytes().unwrap() as usize]).unwrap();
    writer.finish().unwrap();
    (folder, path)
}

#[test]
fn files_of_another_kind_are_refused_in_words() {
    for (name, ty, kind, words) in [
        ("blk.0.a.weight", TensorType::F32, "model", "no importance matrix"),
        ("blk.0.a.weight.in_sum2", TensorType::F32, "imatrix", "no `blk.0.a.weight.counts` beside it"),
    ] {
        let (_folder, path) = gguf(name, &[32, 1], ty, kind);
        let error = Imatrix::read(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let (_folder, path) = gguf("blk.0.a.weight", &[32, 1], TensorType::F32, "imatrix");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 64]).unwrap();
    assert!(Imatrix::read(&path).is_err(), "cut");
}

#[test]
fn a_model_that_it_was_not_collected_with_is_refused_in_words() {
    for (name, n_cols, words) in [
        ("blk.0.attn_q.weight", 32, None),
        ("blk.0.attn_q.weight", 64, Some("has 32 columns for it, not 64: `blk.0.attn_q.weight`")),
        ("blk.1.attn_q.weight", 32, Some("has nothing for it: `blk.1.attn_q.weight`")),
        ("output.weight", 64, None),
        ("blk.1.attn_norm.weight", 64, None),
    ] {
        let (_folder, path) = gguf(name, &[n_cols, 2], TensorType::F32, "model");
        let checked = imatrix(&[("blk.0.attn_q.weight", &[1.0; 32], 4)]).check(&File::open(&path).unwrap());
        match words {
            None => checked.unwrap(),
            Some(words) => {
                let error = checked.unwrap_err().to_string();
                assert!(error.contains(words), "{error}");
            }
        }
    }
}
