//! Small files of a size that was asked for.

use crate::{Draft, FileType, Options, Recipe, Size, Target, Work, encode};
use blocks::TensorType;
use gguf::{File, Metadata, TensorSpec, Writer};
use std::path::Path;

const TYPES: [TensorType; 5] =
    [TensorType::Q4_0, TensorType::Q5_0, TensorType::Q5_1, TensorType::Q6K, TensorType::Q8_0];

/// Layers with matrices of several sizes, in F16; the first of each has weights of very different sizes in a block.
fn model(path: &Path) -> File {
    let mut metadata = Metadata::default();
    metadata.set("general.architecture", "llama");
    let mut specs = Vec::new();
    for layer in 0..6 {
        for (kind, n_rows) in [("attn_q", 64), ("attn_k", 16), ("ffn_down", 150)] {
            let name = format!("blk.{layer}.{kind}.weight");
            specs.push(TensorSpec { name, shape: vec![256, n_rows], ty: TensorType::F16 });
        }
        let name = format!("blk.{layer}.attn_norm.weight");
        specs.push(TensorSpec { name, shape: vec![256], ty: TensorType::F32 });
    }
    let mut writer = Writer::create(path, &metadata, &specs).unwrap();
    for spec in &specs {
        let n = spec.shape.iter().product::<u64>() as usize;
        let spread = if spec.name.contains(".0.") { 5 } else { 1 };
        let weight = |at: usize| ((at * 7919 % 1009) as f32 / 504.5 - 1.0).powi(spread);
        let mut bytes = vec![0; spec.n_bytes().unwrap() as usize];
        encode(spec.ty, &(0..n).map(weight).collect::<Vec<_>>(), None, &mut bytes);
        writer.write(&bytes).unwrap();
    }
    writer.finish().unwrap();
    File::open(path).unwrap()
}

fn options(size: Size, pins: &[&str]) -> Options {
    let pins = pins.iter().map(|pin| pin.parse().unwrap()).collect();
    Options {
        recipe: Recipe { pins, ..Recipe::new(FileType::Q4_0) },
        target: Some(Target { size, types: TYPES.to_vec(), text: None }),
        imatrix: None,
        calibration: None,
        allow_requantize: false,
        work: Work::default(),
    }
}

#[test]
fn a_file_is_as_large_as_was_asked_for_and_never_larger() {
    let folder = tempfile::tempdir().unwrap();
    let input = model(&folder.path().join("in.gguf"));
    let path = folder.path().join("out.gguf");
    for target in [215_000, 250_000, 290_001] {
        let options = options(Size::File(target), &[]);
        let draft = Draft::new(&input, &options, &()).unwrap();
        draft.write(&path, &()).unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(file.n_bytes(), draft.file_bytes());
        let spare = target.checked_sub(file.n_bytes());
        assert!(spare.is_some_and(|spare| spare <= target / 200), "{} of {target}", file.n_bytes());
        assert_eq!(file.metadata().uint("llamita.quantize.target_bytes"), Ok(Some(target)));
    }
}

#[test]
fn bits_and_tensors_are_sizes_too_and_pins_hold() {
    let folder = tempfile::tempdir().unwrap();
    let input = model(&folder.path().join("in.gguf"));
    let pins = ["attn_k=q8_0", "norm|ffn_down=q4_0"];
    for (size, bits) in
        [(Size::BitsPerWeight(5.2), 5.2), (Size::Tensors(220_800), 220_800.0 * 8.0 / 354_816.0)]
    {
        let options = options(size, &pins);
        let draft = Draft::new(&input, &options, &()).unwrap();
        let plan = draft.plan();
        assert!(
            plan.bits_per_weight() <= bits && plan.bits_per_weight() > bits - 0.15,
            "{}",
            plan.bits_per_weight()
        );
        for spec in plan.specs() {
            let pinned = match () {
                () if spec.name.contains("attn_k") => TensorType::Q8_0,
                () if spec.name.contains("ffn_down") => TensorType::Q4_0,
                () if spec.name.contains("norm") => TensorType::F32,
                () => spec.ty,
            };
            assert_eq!(spec.ty, pinned, "{}", spec.name);
        }
    }
}

#[test]
fn what_is_worse_in_few_bits_gets_more() {
    let folder = tempfile::tempdir().unwrap();
    let input = model(&folder.path().join("in.gguf"));
    let options = options(Size::File(250_000), &[]);
    let draft = Draft::new(&input, &options, &()).unwrap();
    let bytes = |name: &str| {
        let spec = draft.plan().specs().iter().find(|spec| spec.name == name).unwrap();
        spec.n_bytes().unwrap()
    };
    assert!(bytes("blk.0.attn_k.weight") >= bytes("blk.3.attn_k.weight"));
    assert!(bytes("blk.0.ffn_down.weight") >= bytes("blk.3.ffn_down.weight"));
}

#[test]
fn a_target_that_nothing_fits_is_told_with_the_smallest() {
    let folder = tempfile::tempdir().unwrap();
    let input = model(&folder.path().join("in.gguf"));
    for size in [Size::File(1000), Size::Tensors(5), Size::BitsPerWeight(2.0)] {
        let error = Draft::new(&input, &options(size, &[]), &()).unwrap_err().to_string();
        let smallest = error.split("has ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        let smallest: u64 = smallest.parse().unwrap();
        assert!(error.contains("the smallest that these types make has"), "{error}");
        let least = options(Size::File(smallest), &[]);
        assert_eq!(Draft::new(&input, &least, &()).unwrap().file_bytes(), smallest);
        let less = options(Size::File(smallest - 1), &[]);
        assert!(Draft::new(&input, &less, &()).is_err());
    }
}
