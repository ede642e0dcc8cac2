//! What a smaller file has lost: its weights beside the original's, its predictions beside the original's.

use crate::{BAD_MIB, Bad, Ended, arg, check_bad, llamita, model, succeed, within};
use blocks::TensorType;
use gguf::{Metadata, TensorSpec, Writer};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Memory that input may take which is no good, but is read by the model.
const SESSION_MIB: u64 = BAD_MIB + 64;

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
    // One prediction's divergence may be off by what logarithms are rounded to, and by the share of the unlikeliest tokens; so
    // may those that lie in the middle or at an end.
    for key in ["median", "percentile_99", "largest"] {
        let (found, exact) = (number(&found[key]), number(&exact[key]));
        let bound = (exact + (2.0 * exact).sqrt()) / 1024.0 + exact / 256.0;
        assert!((found - exact).abs() <= bound, "{key}: {found}, exactly {exact}, within {bound}");
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
    for (file, says) in [
        (&text, &["text.txt", "--save-kl-base"][..]),
        (&model, &["GGUF", "--reference"]),
        (&none, &["none.klb", "No such file"]),
    ] {
        let args = [&call, &["256", "--kl-base", arg(file)][..]].concat();
        check_bad(&Bad { case: arg(file), args: &args, status: 1, says });
    }
    // What only a session tells: its cache and its threads are there.
    for (context, file, says) in
        [("128", &base, &["a.klb", "--context 256"][..]), ("256", &cut, &["cut.klb", "window 0", "cut"])]
    {
        let args = [&call, &[context, "--threads", "2", "--kl-base", arg(file)][..]].concat();
        let call = within(SESSION_MIB, &llamita(&args)).output();
        let ended = Ended::from(call.expect("the binary runs"));
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{file:?}: {}", ended.stderr);
        let sentence = ended.stderr.lines().last().unwrap_or_default();
        assert!(says.iter().all(|part| sentence.contains(part)), "{file:?}: {says:?} in: {sentence}");
    }
}

/// Quantizes with a report; both files.
fn reported(folder: &TempDir, args: &[&str]) -> (PathBuf, Value, Ended) {
    let (output, report) = (folder.path().join("out.gguf"), folder.path().join("report.json"));
    let input = model("f16");
    let call = ["quantize", arg(&input), "-o", arg(&output), "--report", arg(&report)];
    let ended = succeed([&call, args].concat());
    assert_eq!(ended.stdout, "");
    (
        output,
        serde_json::from_str(&std::fs::read_to_string(report).expect("it is there")).expect("JSON"),
        ended,
    )
}

fn tensors(report: &Value) -> &Vec<Value> {
    report["tensors"].as_array().expect("a list")
}

#[test]
fn a_report_tells_what_a_comparison_finds() {
    let folder = TempDir::new().expect("a folder");
    let text = text(&folder);
    let (output, report, ended) =
        reported(&folder, &["--type", "q4_k_m", "--report-text", arg(&text), "--report-context", "256"]);
    let unreported = folder.path().join("unreported.gguf");
    succeed(["quantize", arg(&model("f16")), "--type", "q4_k_m", "-o", arg(&unreported)]);
    assert!(
        std::fs::read(&output).unwrap() == std::fs::read(&unreported).unwrap(),
        "a report changes nothing"
    );

    let found = compared(&model("f16"), &output);
    assert!((number(&report["relative_rmse"]) / number(&found["relative_rmse"]) - 1.0).abs() < 1e-6);
    for (told, found) in tensors(&report).iter().zip(tensors(&found)) {
        assert_eq!((&told["name"], &told["to"]), (&found["name"], &found["types"][1]));
        assert_eq!(told["bytes"], found["n_bytes"][1]);
        assert!(
            (number(&told["relative_rmse"]) - number(&found["relative_rmse"])).abs() < 1e-6,
            "{told} {found}"
        );
        let rows = &told["rows"]["plain"];
        if told["shape"].as_array().expect("a list").len() == 2 {
            assert_eq!(rows, &told["shape"][1], "{told}");
        }
        assert_eq!((&told["train_error"], &told["lambda"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(report["file_bytes"], std::fs::metadata(&output).unwrap().len());
    assert!((4.0..6.0).contains(&number(&report["bits_per_weight"])), "{}", report["bits_per_weight"]);
    if cfg!(target_os = "linux") {
        let [anonymous, resident] =
            ["peak_anonymous_bytes", "peak_resident_bytes"].map(|key| number(&report[key]));
        assert!(1e6 < anonymous && anonymous <= resident, "{anonymous} {resident}");
    }

    let call =
        ["perplexity", arg(&output), "--text", arg(&text), "--context", "256", "--json", "--reference"];
    let exact = succeed([&call[..], &[arg(&model("f16"))]].concat()).json();
    for key in ["mean", "median", "percentile_99", "same_top", "ln_ratio", "ln_ratio_error"] {
        assert_eq!(report["predictions"][key], exact[key], "{key}");
    }
    let ratio = number(&report["predictions"]["perplexity_ratio"]);
    assert!((ratio.ln() - number(&exact["ln_ratio"])).abs() < 1e-9);
    for part in ["blk.0.attn_v.weight", "F16 → Q6_K", "100/0/0 %", "bits per weight", "divergence 0.00"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[test]
fn a_report_tells_which_method_won_and_the_file_what_was_learned() {
    let folder = TempDir::new().expect("a folder");
    let (text, imatrix) = (text(&folder), folder.path().join("imatrix.gguf"));
    let context = ["--context", "128", "--tokens", "512"];
    succeed(
        [&["imatrix", arg(&model("f16")), "--text", arg(&text), "-o", arg(&imatrix)], &context[..]].concat(),
    );
    let (_, report, _) = reported(&folder, &["--type", "q3_k_s", "--imatrix", arg(&imatrix)]);
    for tensor in tensors(&report) {
        let learned =
            tensor["name"].as_str().is_some_and(|name| name.starts_with("blk.") && !name.contains("norm"));
        assert_eq!(tensor["train_error"].is_number(), learned, "{tensor}");
        assert_eq!(tensor["held_out_error"], Value::Null);
        if learned {
            assert_eq!(tensor["rows"]["search"], tensor["shape"][1]);
        }
    }

    let calibration =
        ["--calibration", arg(&text), "--calibration-context", "128", "--calibration-tokens", "1024"];
    let (output, report, ended) = reported(&folder, &[&["--type", "q3_k_s"], &calibration[..]].concat());
    let learned = |tensor: &&Value| tensor["lambda"].is_number();
    assert_eq!(tensors(&report).iter().filter(learned).count(), 8 * 7 + 1);
    for tensor in tensors(&report).iter().filter(learned) {
        let [plain, search, feedback] =
            ["plain", "search", "feedback"].map(|method| number(&tensor["rows"][method]));
        assert_eq!(plain + search + feedback, number(&tensor["shape"][1]), "{tensor}");
        let held_out = number(&tensor["held_out_error"]);
        for method in ["plain", "search", "feedback"] {
            assert!(held_out <= number(&tensor["held_out_error_by"][method]), "{tensor}");
        }
        assert!((0.0001..1.0).contains(&number(&tensor["train_error"])), "{tensor}");
    }
    assert!(ended.stderr.contains("held-out errors of 57 matrices"), "{}", ended.stderr);
    let file = gguf::File::open(&output).expect("our own file");
    let keys = file.metadata();
    assert_eq!(keys.str("llamita.quantize.text"), Ok(Some("text.txt")));
    assert_eq!(keys.uint("llamita.quantize.tokens"), Ok(Some(1024)));
    let told = keys.float("llamita.quantize.error").expect("a float").expect("it is there");
    assert!((f64::from(told) / number(&report["held_out_error"]) - 1.0).abs() < 1e-6, "{told}");
}

#[test]
fn a_report_that_cannot_be_is_told_before_the_work() {
    let folder = TempDir::new().expect("a folder");
    let (input, short) = (folder.path().join("in.gguf"), folder.path().join("short.txt"));
    std::fs::copy(model("q8_0"), &input).expect("there is room");
    std::fs::write(&short, "It was").expect("it writes");
    let (output, nowhere) = (folder.path().join("out.gguf"), folder.path().join("none/report.json"));
    let report = folder.path().join("report.json");
    for (more, status, says) in [
        (&["--report", arg(&input)][..], 2, "--report would replace"),
        (&["--report", arg(&output)], 2, "--report would replace"),
        (&["--report", arg(&nowhere)], 1, "there is no folder"),
        (&["--report", arg(&report), "--report-text", arg(&short)], 1, "but two windows take 1024"),
        (&["--report-text", arg(&short)], 2, "--report <FILE.json>"),
        (&["--report", arg(&report), "--dry-run"], 2, "cannot be used with"),
    ] {
        let call = ["quantize", arg(&input), "--type", "q8_0", "-o", arg(&output)];
        let ended = Ended::from(llamita([&call, more].concat()).output().expect("the binary runs"));
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(status), ""), "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{more:?}: {}", ended.stderr);
        assert_eq!(folder.path().read_dir().expect("the folder").count(), 2, "{more:?}");
    }
}
