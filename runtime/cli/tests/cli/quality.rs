//! What a smaller file has lost: its weights beside the original's, its predictions beside the original's.

use crate::{Ended, arg, llamita, model, succeed};
use blocks::TensorType;
use gguf::{Metadata, TensorSpec, Writer};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn compared(original: &Path, model: &Path) -> Value {
    succeed(["inspect", "--compare", arg(original), arg(model), "--json"]).json()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn weights_are_compared_whatever_their_types() {
    let (original, q8_0, q4_0) = (model("f16"), model("q8_0"), model("q4_0"));
    let same = compared(&original, &original);
    assert_eq!((number(&same["relative_rmse"]), &same["n_compared"]), (0.0, &Value::from(8_392_960)));

    let [eight, four, between] =
        [(&original, &q8_0), (&original, &q4_0), (&q8_0, &q4_0)].map(|(a, b)| compared(a, b));
    let rmse = |report: &Value| number(&report["relative_rmse"]);
    assert!((0.001..0.01).contains(&rmse(&eight)) && (0.05..0.12).contains(&rmse(&four)), "{eight}");
    // What Q8_0 loses is nothing beside what Q4_0 does.
    assert!((rmse(&between) / rmse(&four) - 1.0).abs() < 0.02, "{between}");
    let tensors = four["tensors"].as_array().expect("a list");
    assert_eq!(tensors.len(), 75);
    let named = |name: &str| tensors.iter().find(|tensor| tensor["name"] == name).expect("it is there");
    let query = named("blk.0.attn_q.weight");
    assert_eq!(query["types"], serde_json::json!(["F16", "Q4_0"]));
    assert_eq!(query["n_bytes"], serde_json::json!([256 * 256 * 2, 256 * 256 / 32 * 18]));
    assert!(number(&query["relative_rmse"]) > number(&named("output.weight")["relative_rmse"]));
    assert_eq!(number(&named("output_norm.weight")["relative_rmse"]), 0.0);

    let text = succeed(["inspect", arg(&q4_0), "--compare", arg(&original)]).stdout;
    for part in ["blk.0.attn_q.weight", "F16 → Q4_0", "128 KiB → 36.0 KiB", "8,392,960 weights compared"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// A file of tensors: name, shape, type; their bytes are all this.
fn file_of(path: &Path, tensors: &[(&str, &[u64], TensorType)], byte: u8) -> PathBuf {
    let spec = |&(name, shape, ty): &(&str, &[u64], TensorType)| TensorSpec {
        name: name.to_owned(),
        shape: shape.to_vec(),
        ty,
    };
    let specs: Vec<_> = tensors.iter().map(spec).collect();
    let mut writer = Writer::create(path, &Metadata::default(), &specs).expect("it can be written");
    for (_, shape, ty) in tensors {
        let n_bytes = ty.row_bytes(shape[0]).expect("whole blocks") * shape[1..].iter().product::<u64>();
        writer.write(&vec![byte; n_bytes as usize]).expect("there is room");
    }
    writer.finish().expect("there is room");
    path.to_owned()
}

#[test]
fn what_only_one_file_has_is_told() {
    use TensorType as T;
    let folder = TempDir::new().expect("a folder");
    let a = file_of(
        &folder.path().join("a.gguf"),
        &[
            ("x", &[64], T::F32),
            ("turned", &[32, 4], T::F16),
            ("y", &[256, 3], T::Iq2Xs),
            ("z", &[32], T::F16),
        ],
        1,
    );
    let b = file_of(
        &folder.path().join("b.gguf"),
        &[
            ("x", &[64], T::F32),
            ("turned", &[4, 32], T::F16),
            ("y", &[256, 3], T::Q2K),
            ("bad", &[32], T::F16),
        ],
        0xff,
    );
    let report = compared(&a, &b);
    assert_eq!(report["only_in_original"], serde_json::json!(["z"]));
    assert_eq!(report["only_in_model"], serde_json::json!(["bad"]));
    for (index, words) in [(0, "no finite numbers"), (1, "shapes differ: 32 × 4 and 4 × 32"), (2, "IQ2_XS")]
    {
        let tensor = &report["tensors"][index];
        assert!(tensor["note"].as_str().is_some_and(|note| note.contains(words)), "{tensor}");
        assert_eq!(tensor["relative_rmse"], Value::Null);
    }
    let text = succeed(["inspect", arg(&b), "--compare", arg(&a)]).stdout;
    assert!(text.contains(&format!("z: only in {}", arg(&a))), "{text}");
}

/// The held-out text, in a file.
fn text(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("text.txt");
    std::fs::write(&path, llamita_tests::held_out_text()).expect("it writes");
    path
}

#[test]
fn a_base_stands_for_the_original() {
    let folder = TempDir::new().expect("a folder");
    let (text, base) = (text(&folder), folder.path().join("text.klb"));
    let (original, q4_0) = (model("f32"), model("q4_0"));
    let perplexity = |model: &Path, more: &[&str]| {
        let call = ["perplexity", arg(model), "--text", arg(&text), "--context", "256", "--json"];
        succeed([&call, more].concat())
    };
    let saved = perplexity(&original, &["--save-kl-base", arg(&base)]);
    assert!(saved.stderr.contains("text.klb"), "{}", saved.stderr);
    let exact = perplexity(&q4_0, &["--reference", arg(&original)]).json();
    let found = perplexity(&q4_0, &["--kl-base", arg(&base)]).json();
    for key in ["mean", "median", "percentile_99", "largest"] {
        let (found, exact) = (number(&found[key]), number(&exact[key]));
        assert!((found / exact - 1.0).abs() < 0.02, "{key}: {found}, exactly {exact}");
    }
    assert!((number(&found["mean"]) / number(&exact["mean"]) - 1.0).abs() < 0.003, "{found}, {exact}");
    assert!((number(&found["ln_ratio"]) - number(&exact["ln_ratio"])).abs() < 1e-6, "{found}, {exact}");
    assert_eq!((&found["same_top"], &found["perplexity"]), (&exact["same_top"], &exact["perplexity"]));
    // Not every logit of every prediction, in 32 or in 16 bits.
    let n_logits = found["perplexity"]["n_tokens"].as_u64().expect("a number") * 4096;
    let n_bytes = base.metadata().expect("it is there").len();
    println!("{n_bytes} bytes, {} of 16 bits a logit", n_bytes as f64 / (2 * n_logits) as f64);
    assert!(5 * n_bytes < 8 * n_logits, "{n_bytes} bytes for {n_logits} logits");
}

#[test]
fn a_base_that_does_not_fit_is_a_sentence() {
    let folder = TempDir::new().expect("a folder");
    let (text, base, cut) = (text(&folder), folder.path().join("a.klb"), folder.path().join("cut.klb"));
    let (model, none) = (model("q8_0"), folder.path().join("none.klb"));
    let call = ["perplexity", arg(&model), "--text", arg(&text), "--context"];
    succeed([&call, &["256", "--save-kl-base", arg(&base)][..]].concat());
    let bytes = std::fs::read(&base).expect("it reads");
    std::fs::write(&cut, &bytes[..4000]).expect("it writes");
    for (context, file, says) in [
        ("128", &base, &["a.klb", "--context 256"][..]),
        ("256", &cut, &["cut.klb", "window 0", "cut"]),
        ("256", &text, &["text.txt", "--save-kl-base"]),
        ("256", &model, &["GGUF", "--reference"]),
        ("256", &none, &["none.klb", "No such file"]),
    ] {
        let args = [&call, &[context, "--kl-base", arg(file)][..]].concat();
        // A model runs here, which takes more memory than bad input alone may.
        let ended = Ended::from(llamita(&args).output().expect("the binary runs"));
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{file:?}: {}", ended.stderr);
        let sentence = ended.stderr.lines().last().unwrap_or_default();
        assert!(says.iter().all(|part| sentence.contains(part)), "{file:?}: {says:?} in: {sentence}");
    }
}
