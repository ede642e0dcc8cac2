//! Batches, what is refused before, and weights that are no numbers.

use super::*;
use blocks::Block;
use gguf::{File, Fingerprint, Metadata, TensorSpec};
use std::path::Path;
use std::sync::Mutex;

fn start(path: &Path, tensors: &[(&str, TensorType, [u64; 2])]) -> TensorStream {
    let spec =
        |&(name, ty, shape): &(&str, _, [u64; 2])| TensorSpec { name: name.into(), shape: shape.into(), ty };
    let specs: Vec<_> = tensors.iter().map(spec).collect();
    TensorStream::create(path, &Metadata::default(), &specs, Fingerprint::default(), &Work::default(), 0)
        .unwrap()
}

#[test]
fn several_batches_arrive_in_order_and_every_row_is_asked_for_once() {
    // 12 MiB and 9.6 MiB of output, so two batches each, and something of the first is still to be written when
    // the second begins.
    let tensors = [("a", TensorType::F32, [1024, 3000]), ("b", TensorType::F16, [1000, 5033])];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.gguf");
    let mut stream = start(&path, &tensors);
    for (name, ty, [n_cols, n_rows]) in tensors {
        let asked = Mutex::new(vec![0; n_rows as usize]);
        let matrix = Matrix { name, ty, n_cols, n_rows, importance: None };
        let filled = stream.tensor(&matrix, |rows, floats| {
            assert_eq!(floats.len() as u64, (rows.end - rows.start) * n_cols);
            for (row, floats) in rows.zip(floats.chunks_exact_mut(n_cols as usize)) {
                asked.lock().unwrap()[row as usize] += 1;
                floats.fill((row % 2048) as f32);
            }
            Ok::<_, Error>(())
        });
        filled.unwrap();
        assert!(asked.into_inner().unwrap().iter().all(|&times| times == 1));
    }
    stream.finish(&()).unwrap();

    let file = File::open(&path).unwrap();
    for (tensor, (name, ty, [n_cols, _])) in file.tensors().iter().zip(tensors) {
        for (row, bytes) in file.bytes(tensor).chunks(ty.row_bytes(n_cols).unwrap() as usize).enumerate() {
            let expected = (row % 2048) as f32;
            let first = with_block!(ty, B => {
                let mut float = [0.0];
                B::decode(&blocks::from_bytes(bytes)[0], &mut float);
                float[0]
            }, else panic!());
            assert!(
                first == expected && bytes.ends_with(&bytes[..bytes.len() / n_cols as usize]),
                "{name} {row}"
            );
        }
    }
}

#[test]
fn what_cannot_be_encoded_is_a_sentence_before_any_row_is_asked_for() {
    for (ty, n_cols, expected) in [
        (TensorType::Q4_0, 48, "tensor `a` has rows of 48 weights: as Q4_0 they must be multiples of 32"),
        (TensorType::F32, MAX_COLS + 1, "and at most 4194304"),
        (TensorType::Iq1S, 256, "tensor `a` would become IQ1_S, which llamita cannot encode"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.gguf");
        let mut stream = start(&path, &[("a", TensorType::F32, [4, 1])]);
        let matrix = Matrix { name: "a", ty, n_cols, n_rows: 1, importance: None };
        let error = stream.tensor(&matrix, |_, _| -> Result<(), Error> { panic!("asked") }).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        drop(stream);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
}
